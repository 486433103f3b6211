#include "tests/coordinator/store_fixture.h"

#include <atomic>

#include "absl/strings/str_cat.h"

namespace dunlin::coordinator {

testing::PgServer& StoreTest::Server() {
  static auto* server = new testing::PgServer();
  static const int registered = std::atexit([] { delete server; });
  static_cast<void>(registered);
  return *server;
}

StoreTest::StoreTest() {
  static std::atomic<int> number = 0;
  database_ = absl::StrCat("store_", ++number);
  Server().CreateDatabase(database_);
}

StoreTest::~StoreTest() { Server().DropDatabase(database_, "WITH (FORCE)"); }

std::unique_ptr<Store> StoreTest::MakeStore(absl::Duration lease_ttl) {
  auto store = std::make_unique<Store>(StoreOptions{.dsn = Secret(Dsn()), .lease_ttl = lease_ttl});
  const absl::Status ready = store->MigrateSchema();
  EXPECT_TRUE(ready.ok()) << ready;
  return store;
}

std::string StoreTest::File(const std::string& more) {
  return absl::StrCat(
      "description: A test\ntarget: orders\ntable: public.t\n"
      "batch: UPDATE t SET n = n + 1 WHERE :batch\n",
      more);
}

pb::StartRunRequest StoreTest::StartRequest(const std::string& more, const std::string& migration) {
  pb::StartRunRequest request;
  request.set_request_id(MakeUuid());
  request.set_operator_name("ada");
  request.set_migration(migration);
  request.set_definition(File(more));
  return request;
}

pb::Run StoreTest::Start(Store& store, const std::string& more, const std::string& migration) {
  const auto started = store.StartRun(StartRequest(more, migration), {.peer = "test"});
  EXPECT_TRUE(started.ok()) << started.status();
  return started.ok() ? started->run() : pb::Run();
}

namespace {
template <typename Request>
Request Command(const std::string& run) {
  Request request;
  request.set_request_id(MakeUuid());
  request.set_operator_name("ada");
  request.set_run(run);
  return request;
}
template <typename Response>
absl::StatusOr<pb::Run> RunOf(const absl::StatusOr<Response>& response) {
  if (!response.ok()) return response.status();
  return response->run();
}
}  // namespace

absl::StatusOr<pb::Run> StoreTest::Pause(Store& store, const std::string& run) {
  return RunOf(store.PauseRun(Command<pb::PauseRunRequest>(run), {.peer = "test"}));
}
absl::StatusOr<pb::Run> StoreTest::Resume(Store& store, const std::string& run) {
  return RunOf(store.ResumeRun(Command<pb::ResumeRunRequest>(run), {.peer = "test"}));
}
absl::StatusOr<pb::Run> StoreTest::Cancel(Store& store, const std::string& run) {
  return RunOf(store.CancelRun(Command<pb::CancelRunRequest>(run), {.peer = "test"}));
}

pb::Run StoreTest::Get(Store& store, const std::string& run) {
  const auto found = store.GetRun(run);
  EXPECT_TRUE(found.ok()) << found.status();
  return found.ok() ? *found : pb::Run();
}

std::string StoreTest::State(Store& store, const std::string& run) {
  return pb::Run::State_Name(Get(store, run).state()).substr(6);
}

::testing::AssertionResult StoreTest::StepUntil(Store& store, ScriptedAgent& agent,
                                                const std::string& state, const std::string& run) {
  constexpr int kManySteps = 300;
  for (int i = 0; i < kManySteps; ++i) {
    if (State(store, run) == state) return ::testing::AssertionSuccess();
    agent.Step();
    const absl::Status swept = store.Sweep();
    if (!swept.ok()) return ::testing::AssertionFailure() << swept;
  }
  return ::testing::AssertionFailure() << "it is " << Get(store, run).ShortDebugString();
}

void StoreTest::ExpectEventsInOrder(const std::string& run_id) {
  EXPECT_EQ(Int(absl::StrCat("SELECT count(*) FROM dunlin_store.event e JOIN dunlin_store.run r ON "
                             "r.id = e.run WHERE e.run = '",
                             run_id, "' AND e.revision > r.revision")),
            0);
  EXPECT_EQ(Int(absl::StrCat("SELECT count(*) FROM dunlin_store.shard s JOIN dunlin_store.run r ON "
                             "r.id = s.run WHERE s.run = '",
                             run_id, "' AND s.revision > r.revision")),
            0);
}

}  // namespace dunlin::coordinator
