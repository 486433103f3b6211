#include "tests/calls/small_run.h"

#include <functional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/client.h"

#include "agent/agent.h"
#include "common/call_fault.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/mutex.h"
#include "common/rpc/channel.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/coordinator.h"

namespace dunlin::testing {
namespace {

namespace pb = ::dunlin::v1;

constexpr int kRows = 600;
constexpr int kBatchRows = 20;
// The shortest that a coordinator takes: whoever lost an answer waits for it.
constexpr absl::Duration kLeaseTtl = absl::Seconds(1);
// Many times what an undisturbed run takes, on a busy machine too.
constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr const char* kName = "20261123120000_count_up";
constexpr const char* kDefinition = R"yaml(
description: Count every row once
target: app
steps:
  - table: items
    batch: UPDATE items SET n = n + 1 WHERE :batch
    verify: SELECT count(*) FROM items WHERE n <> 1 AND :batch
  - once: INSERT INTO audit VALUES (-1)
limits: {pause: 30ms, batch_time: 5ms, concurrency: 2}
)yaml";

// The newest state of a run, by a watch that is renewed when it breaks, as `dunlin watch` does.
class Follower {
 public:
  Follower(cli::Client& client, std::string run)
      : thread_([this, &client, run = std::move(run)](std::stop_token stop) {
          int64_t revision = 0;
          while (!stop.stop_requested()) {
            const absl::Status ended = client.Watch(
                run, revision,
                [&](const pb::WatchRunResponse& message) {
                  revision = message.revision();
                  Take(message);
                  return !stop.stop_requested();
                },
                stop);
            if (absl::IsOutOfRange(ended)) revision = 0;
            SystemClock().SleepFor(absl::Milliseconds(20), stop);
          }
        }) {}

  // False when it does not come to it in time.
  bool Await(const std::function<bool(const pb::Run&)>& predicate) {
    const absl::Duration until = SystemClock().Monotonic() + kPatience;
    MutexLock lock(mutex_);
    while (!predicate(run_)) {
      const absl::Duration left = until - SystemClock().Monotonic();
      if (left <= absl::ZeroDuration()) return false;
      changed_.WaitFor(mutex_, left);
    }
    return true;
  }
  bool Await(pb::Run::State state) {
    return Await([state](const pb::Run& run) { return run.state() == state; });
  }
  std::string Describe() {
    MutexLock lock(mutex_);
    return absl::StrCat(pb::Run::State_Name(run_.state()), " ", run_.reason(), " ", run_.error());
  }

 private:
  void Take(const pb::WatchRunResponse& message) {
    MutexLock lock(mutex_);
    if (message.has_snapshot()) run_ = message.snapshot().run();
    if (message.has_changes()) run_ = message.changes().run();
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  pb::Run run_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;
};

template <typename Request>
Request Command(const std::string& run) {
  Request request;
  request.set_request_id(MakeUuid());
  request.set_operator_name("test");
  request.set_run(run);
  return request;
}

class SmallRun {
 public:
  SmallRun(PgServer& server, int number)
      : server_(server), app_(absl::StrCat("app", number)), store_(absl::StrCat("store", number)) {
    server_.CreateDatabase(app_);
    server_.CreateDatabase(store_);
    server_.Exec(app_, absl::StrCat(R"sql(
      CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0);
      INSERT INTO items SELECT g FROM generate_series(1, )sql",
                                    kRows, R"sql() g;
      CREATE TABLE audit (id bigint);
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO audit VALUES (NEW.id); RETURN NULL; END $$;
      CREATE TRIGGER note AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note();
      ANALYZE items;)sql"));
  }
  ~SmallRun() {
    for (const std::string& database : {app_, store_})
      server_.DropDatabase(database, "WITH (FORCE)");
  }

  absl::Status Run() {
    DUNLIN_ASSIGN_OR_RETURN(const auto coordinator, coordinator::Coordinator::Make(
                                                        {.store_dsn = Secret(server_.Dsn(store_)),
                                                         .listen = "127.0.0.1:0",
                                                         .lease_ttl = kLeaseTtl,
                                                         .wait_for_store = true}));
    const auto channel = MakeChannel(absl::StrCat("127.0.0.1:", coordinator->port()));
    DUNLIN_ASSIGN_OR_RETURN(
        const auto agent,
        agent::Agent::Make({.coordinators = {channel},
                            .targets = {{"app", {.dsn = Secret(server_.Dsn(app_))}}},
                            .slots = 2,
                            .any_migration = true,
                            .name = "agent",
                            .batch_rows = kBatchRows}));
    cli::Client client({channel}, "the test's coordinator");
    const absl::Status status = Drive(client, *agent);
    coordinator->Shutdown();
    return status;
  }

  int64_t Splits() {
    return server_.Int(app_, "SELECT count(*) - 2 FROM dunlin.shard");  // one of each step
  }

 private:
  absl::Status Drive(cli::Client& client, agent::Agent& agent) {
    const auto foreign = server_.Connect(app_);
    DUNLIN_RETURN_IF_ERROR(foreign->ExecuteScript("BEGIN; INSERT INTO items VALUES (0)"));
    pb::StartRunRequest start;
    start.set_request_id(MakeUuid());
    start.set_operator_name("test");
    start.set_migration(kName);
    start.set_definition(kDefinition);
    start.set_target("app");
    DUNLIN_ASSIGN_OR_RETURN(const pb::StartRunResponse started, client.StartRun(start));
    const std::string run = started.run().run_id();
    // Behind the start, so that it registers in the same way each time.
    const std::jthread worker([&](std::stop_token stop) { agent.Run(stop); });
    Follower follower(client, run);
    const auto expect = [&](bool came, const char* what) {
      if (came) return absl::OkStatus();
      return absl::DeadlineExceededError(
          absl::StrCat("waited in vain for ", what, ": ", follower.Describe()));
    };
    DUNLIN_RETURN_IF_ERROR(expect(follower.Await([](const pb::Run& now) {
      return now.state() == pb::Run::STATE_PLANNING &&
             absl::StrContains(now.reason(), "waits for the transaction");
    }),
                                  "the barrier"));
    DUNLIN_RETURN_IF_ERROR(foreign->ExecuteScript("COMMIT"));
    DUNLIN_RETURN_IF_ERROR(
        expect(follower.Await([](const pb::Run& now) { return now.rows_done() > 0; }), "rows"));
    DUNLIN_RETURN_IF_ERROR(client.PauseRun(Command<pb::PauseRunRequest>(run)).status());
    DUNLIN_RETURN_IF_ERROR(expect(follower.Await(pb::Run::STATE_PAUSED), "PAUSED"));
    DUNLIN_RETURN_IF_ERROR(client.ResumeRun(Command<pb::ResumeRunRequest>(run)).status());
    DUNLIN_RETURN_IF_ERROR(expect(follower.Await(pb::Run::STATE_FINISHED), "FINISHED"));
    return CheckRows();
  }

  // Row 0 is the foreign transaction's; -1 in the audit is what the other step did.
  absl::Status CheckRows() {
    const int64_t not_one = server_.Int(app_, "SELECT count(*) FROM items WHERE n <> 1");
    const int64_t not_once =
        server_.Int(app_, absl::StrCat("SELECT count(*) FROM (SELECT k FROM generate_series(-1, ",
                                       kRows, ") k LEFT JOIN audit ON id = k GROUP BY k ",
                                       "HAVING count(id) <> 1) wrong"));
    const int64_t changes = server_.Int(app_, "SELECT count(*) FROM audit");
    if (not_one != 0 || not_once != 0 || changes != kRows + 2) {
      return absl::DataLossError(absl::StrCat(not_one, " rows are not 1, ", not_once,
                                              " were not changed once, ", changes, " changes of ",
                                              kRows + 2));
    }
    // I6: no answer that was lost made a second one.
    for (const char* one : {"agent", "run"}) {
      const int64_t made =
          server_.Int(store_, absl::StrCat("SELECT count(*) FROM dunlin_store.", one));
      if (made != 1)
        return absl::DataLossError(absl::StrCat("the store knows ", made, " ", one, "s"));
    }
    return absl::OkStatus();
  }

  PgServer& server_;
  const std::string app_;
  const std::string store_;
};

}  // namespace

SmallRunResult RunSmallMigration(PgServer& server, const std::string& call_fault) {
  Tune("agent.split.rows_min", int64_t{20});
  Tune("coordinator.split.rows_min", int64_t{40});
  Tune("coordinator.pace.lowest_rung", int64_t{100});
  Tune("coordinator.split.work_min", absl::Milliseconds(50));
  static int number = 0;
  SmallRun run(server, ++number);
  const absl::Status set = SetCallFault(call_fault);
  if (!set.ok()) return {.problem = std::string(set.message())};
  SmallRunResult result;
  const absl::Duration began = SystemClock().Monotonic();
  const absl::Status ran = run.Run();
  result.took = SystemClock().Monotonic() - began;
  result.problem = std::string(ran.message());
  result.hit = CallFaultHit();
  result.calls = CallsCounted();
  if (ran.ok()) result.splits = run.Splits();
  return result;
}

}  // namespace dunlin::testing
