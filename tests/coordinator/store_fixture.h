#pragma once

#include <memory>
#include <string>

#include <gmock/gmock.h>

#include "common/ids.h"
#include "coordinator/store/store.h"
#include "tests/coordinator/scripted_agent.h"
#include "tests/testlib/pg_server.h"

namespace dunlin::coordinator {

inline constexpr const char* kMigration = "20261123120000_backfill";
// Of tests of several, in their order.
inline constexpr const char* kFirst = "20261101000000_first";
inline constexpr const char* kSecond = "20261102000000_second";
inline constexpr const char* kThird = "20261103000000_third";

// A database of its own with a store in it, on the server that all tests of this binary share.
class StoreTest : public ::testing::Test {
 protected:
  StoreTest();
  ~StoreTest() override;

  static testing::PgServer& Server();
  std::unique_ptr<Store> MakeStore(absl::Duration lease_ttl = absl::Seconds(10));
  int64_t Int(const std::string& sql) { return Server().Int(database_, sql); }
  std::string Text(const std::string& sql) { return Server().Text(database_, sql); }
  void Exec(const std::string& sql) { Server().Exec(database_, sql); }
  std::string Dsn() const { return Server().Dsn(database_); }

  // A file of one step; `more` are further lines of it.
  static std::string File(const std::string& more = "");
  pb::StartRunRequest StartRequest(const std::string& more = "",
                                   const std::string& migration = kMigration);
  pb::Run Start(Store& store, const std::string& more = "",
                const std::string& migration = kMigration);
  absl::StatusOr<pb::Run> Pause(Store& store, const std::string& run = kMigration);
  absl::StatusOr<pb::Run> Resume(Store& store, const std::string& run = kMigration);
  absl::StatusOr<pb::Run> Cancel(Store& store, const std::string& run = kMigration);
  pb::Run Get(Store& store, const std::string& run = kMigration);
  // "RUNNING" …
  std::string State(Store& store, const std::string& run = kMigration);
  // Steps the agent and sweeps until the run is in that state.
  ::testing::AssertionResult StepUntil(Store& store, ScriptedAgent& agent, const std::string& state,
                                       const std::string& run = kMigration);
  // I11 and trap 4, seen from the table: revisions of a run are distinct, without a gap in front of
  // an event, none beyond the run's own.
  void ExpectEventsInOrder(const std::string& run_id);

  std::string database_;
};

}  // namespace dunlin::coordinator
