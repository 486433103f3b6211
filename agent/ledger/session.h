#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/ids.h"
#include "common/pg/connection.h"
#include "common/pg/session.h"

namespace dunlin::agent {

// A transaction that holds row locks stays below 0.8 × deadlock_timeout, all statements together,
// so that the application is never the deadlock victim (I12).
inline constexpr double kBudgetOfDeadlockTimeout = 0.8;

// What a session of a shard has for lock_timeout but while it claims: waits for rows of schema
// dunlin block no application, but a batch touches the application's table (I12).
absl::Duration RowLockTimeout();

// Opens connections to one target with every setting pinned. Thread safety: any thread; connections
// belong to one each.
class SessionFactory {
 public:
  // `pooled`: they go through a pooler in transaction mode. `watch`, if any, outlives the sessions.
  explicit SessionFactory(Secret dsn, bool pooled = false, pg::CallWatch* watch = nullptr)
      : dsn_(std::move(dsn)), pooled_(pooled), watch_(watch) {}

  // A session for a shard: its application_name names migration, shard and epoch, so that a
  // claimant can tell a hung former owner. `search_path` as SearchPathFor() makes it.
  absl::StatusOr<std::unique_ptr<pg::Connection>> OpenForShard(const std::string& migration,
                                                               const ShardId& shard, Epoch epoch,
                                                               const std::string& search_path,
                                                               std::stop_token stop) const;
  // For tasks and monitoring: `statement_timeout` as asked, application_name "dunlin/agent".
  absl::StatusOr<std::unique_ptr<pg::Connection>> OpenForTask(absl::Duration statement_timeout,
                                                              const std::string& search_path,
                                                              std::stop_token stop) const;

  // For `check`: under the limits of a shard's session.
  absl::StatusOr<std::unique_ptr<pg::Connection>> OpenForCheck(std::stop_token stop) const;

 private:
  absl::StatusOr<std::unique_ptr<pg::Connection>> Open(const pg::SessionPins& pins,
                                                       std::stop_token stop) const;

  Secret dsn_;
  bool pooled_;
  pg::CallWatch* watch_;
};

// The first 8 hex digits: what application_name carries of a shard.
std::string ShardPrefix(const ShardId& shard);

}  // namespace dunlin::agent
