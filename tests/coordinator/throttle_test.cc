// `dunlin throttle` against a real store.
#include <gmock/gmock.h>

#include "tests/coordinator/scripted_agent.h"
#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::HasSubstr;

class ThrottleTest : public StoreTest {
 protected:
  ThrottleTest() : store_(MakeStore()), port_(MakeStorePort(*store_)) {}

  pb::ThrottleRunRequest Request() {
    pb::ThrottleRunRequest request;
    request.set_request_id(MakeUuid());
    request.set_operator_name("anna");
    request.set_run("all");
    return request;
  }
  pb::RunEvent LastChange() {
    pb::ListRunEventsRequest request;
    request.set_run(Get(*store_).run_id());
    request.set_page_size(1000);
    pb::RunEvent last;
    const auto events = store_->ListRunEvents(request);
    EXPECT_TRUE(events.ok());
    for (const pb::RunEvent& event : events->events()) {
      if (event.kind() == "limits_changed") last = event;
    }
    return last;
  }

  // "Mon-Sun" of every run's windows becomes a day that is not near.
  std::string CloseWindow() {
    const std::string later_day =
        Text("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 days', 'Dy')");
    Exec(
        "UPDATE dunlin_store.run SET definition = convert_to(replace(convert_from(definition, "
        "'UTF8'), 'Mon-Sun', '" +
        later_day + "'), 'UTF8')");
    return later_day;
  }

  std::unique_ptr<Store> store_;
  std::unique_ptr<AgentPort> port_;
};

TEST_F(ThrottleTest, ChangesLimitsAtOnceForAWhileAndGivesThemBackByItself) {
  FakeLedger ledger(100'000, 16);
  Start(*store_, "limits: {concurrency: 6, rows_per_second: 600}\n");
  ScriptedAgent agent(*port_, ledger, {.name = "one", .slots = 8});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  ASSERT_EQ(agent.shards_held(), 6);

  pb::ThrottleRunRequest request = Request();
  request.set_concurrency(2);
  request.set_ratio(0.5);
  request.mutable_for_duration()->set_seconds(3600);
  request.set_reason("sale");
  ASSERT_TRUE(store_->ThrottleRun(request, {.peer = "here"}).ok());
  EXPECT_EQ(Get(*store_).limits().concurrency(), 2);
  EXPECT_THAT(Get(*store_).throttled_reason(),
              HasSubstr("throttled by anna: concurrency 2, ratio 0.5, until "));
  EXPECT_EQ(LastChange().old_value(), "concurrency 6, ratio 1");
  EXPECT_EQ(LastChange().new_value(), "concurrency 2, ratio 0.5, for 1 h");
  EXPECT_EQ(LastChange().reason(), "sale");
  EXPECT_EQ(LastChange().peer(), "here");
  agent.Heartbeat();
  agent.Heartbeat();
  EXPECT_EQ(agent.shards_held(), 2);
  for (const auto& [id, lease] : agent.leases()) EXPECT_EQ(lease.limits().duty(), 0.5);

  // For good, while the other is on: what comes back later is what was told last for good.
  pb::ThrottleRunRequest for_good = Request();
  for_good.set_rows_per_second(0);
  ASSERT_TRUE(store_->ThrottleRun(for_good, {}).ok());
  EXPECT_EQ(Get(*store_).limits().rows_per_second(), 0);
  EXPECT_EQ(Get(*store_).limits().concurrency(), 6) << "it is over with the new order";
  ASSERT_TRUE(store_->ThrottleRun(request, {}).ok()) << "the same request again";
  EXPECT_EQ(Get(*store_).limits().concurrency(), 6) << "is not done twice";

  request.set_request_id(MakeUuid());
  ASSERT_TRUE(store_->ThrottleRun(request, {}).ok());
  EXPECT_EQ(Get(*store_).limits().concurrency(), 2);
  Exec("UPDATE dunlin_store.throttle SET until = clock_timestamp() - interval '1 second'");
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_EQ(Get(*store_).limits().concurrency(), 6);
  EXPECT_EQ(Get(*store_).limits().rows_per_second(), 0);
  EXPECT_EQ(LastChange().actor(), "dunlin");
  EXPECT_EQ(LastChange().new_value(), "concurrency 6, ratio 1");
  EXPECT_EQ(Get(*store_).throttled_reason(), "");
}

TEST_F(ThrottleTest, ASecondOneForAWhileGivesBackWhatWasBeforeTheFirst) {
  FakeLedger ledger(1'000, 2);
  Start(*store_, "limits: {concurrency: 6}\n");
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  for (const int concurrency : {2, 1}) {
    pb::ThrottleRunRequest request = Request();
    request.set_concurrency(concurrency);
    request.mutable_for_duration()->set_seconds(3600);
    ASSERT_TRUE(store_->ThrottleRun(request, {}).ok());
    EXPECT_EQ(Get(*store_).limits().concurrency(), concurrency);
  }
  Exec("UPDATE dunlin_store.throttle SET until = clock_timestamp() - interval '1 second'");
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_EQ(Get(*store_).limits().concurrency(), 6);
}

TEST_F(ThrottleTest, RunsShareATargetByTheirPriority) {
  FakeLedger ledger(100'000, 8);
  auto request = StartRequest("limits: {concurrency: 4}\n");
  request.set_priority(300);
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  ScriptedAgent agent(*port_, ledger, {.slots = 8});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  EXPECT_EQ(agent.shards_held(), 4);
  // Another that is at work, as far as its pace tells.
  Start(*store_, "depends_on: []\n", "20261123120001_b");
  Exec(
      "UPDATE dunlin_store.run SET state = 'RUNNING' WHERE migration = '20261123120001_b'; "
      "INSERT INTO dunlin_store.pace SELECT (jsonb_populate_record(p, jsonb_build_object('run', "
      "r.id, 'shards', 4))).* FROM dunlin_store.pace p, dunlin_store.run r "
      "WHERE r.migration = '20261123120001_b'");
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_THAT(Get(*store_).throttled_reason(),
              HasSubstr("shares the target with other runs: 3 of 4 shards at once"));
}

TEST_F(ThrottleTest, WhenNobodyMeasuresAnyMoreARunIsHeldBack) {
  FakeLedger ledger(100'000, 8);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.deadlock_timeout_ms = 1000});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Heartbeat();
  Exec(
      "UPDATE dunlin_store.target_signals SET since = clock_timestamp() - interval '1 minute', "
      "measured_at = clock_timestamp() - interval '10 seconds', until = clock_timestamp() + "
      "interval '1 minute'");
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_THAT(Get(*store_).throttled_reason(), HasSubstr("nothing has been measured"));
}

TEST_F(ThrottleTest, OutsideItsWindowsARunStopsAndNoneBegins) {
  FakeLedger ledger(100'000, 4);
  Start(*store_, "windows: [\"Mon-Sun 00:00-24:00 UTC\"]\n");
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  ASSERT_GT(agent.shards_held(), 0);
  const std::string later_day = CloseWindow();
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_THAT(Get(*store_).throttled_reason(), HasSubstr("outside its windows: opens"));
  agent.Heartbeat();
  agent.Heartbeat();
  EXPECT_EQ(agent.shards_held(), 0);
  agent.Acquire();
  EXPECT_EQ(agent.shards_held(), 0);

  const std::string another = "20261123120001_b";
  Start(*store_, "depends_on: []\nwindows: [\"" + later_day + " 01:00-02:00 UTC\"]\n", another);
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_THAT(Get(*store_, another).reason(), HasSubstr("outside its windows"));
  EXPECT_EQ(State(*store_, another), "PENDING");
}

// Its `requires` holds at last, but the window has closed meanwhile.
TEST_F(ThrottleTest, APreflightThatWaitedIsNoWayPastAWindow) {
  FakeLedger ledger(100, 2);
  Start(*store_, "windows: [\"Mon-Sun 00:00-24:00 UTC\"]\n");
  ScriptedAgent agent(*port_, ledger, {.preflight_waits_for = "the column is not there yet"});
  agent.Step();
  ASSERT_TRUE(store_->Sweep().ok());
  agent.Step();
  ASSERT_THAT(Get(*store_).reason(), HasSubstr("the column is not there yet"));
  CloseWindow();
  agent.options().preflight_waits_for = "";
  for (int i = 0; i < 5; ++i) {
    Exec("UPDATE dunlin_store.task SET not_before = '-infinity'");
    ASSERT_TRUE(store_->Sweep().ok());
    agent.Step();
  }
  EXPECT_EQ(State(*store_), "PENDING");
  EXPECT_THAT(Get(*store_).reason(), HasSubstr("outside its windows"));
}

TEST_F(ThrottleTest, WhoeverMeasuresKnowsWhichTablesAreMigrated) {
  FakeLedger ledger(100'000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Heartbeat();
  ASSERT_EQ(agent.last_heartbeat().signal_duties_size(), 1);
  ASSERT_EQ(agent.last_heartbeat().signal_duties(0).runs_size(), 1);
  const auto& tables = agent.last_heartbeat().signal_duties(0).runs(0).table();
  EXPECT_THAT(std::vector<std::string>(tables.begin(), tables.end()),
              ::testing::ElementsAre("public.t"));
}

TEST_F(ThrottleTest, DeadRowsHoldBackTheRunOfTheirTableOnly) {
  FakeLedger ledger(100'000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.deadlock_timeout_ms = 1000, .dead_rows_of = "public.u"});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  const auto reason = [&] {
    agent.Heartbeat();
    EXPECT_TRUE(store_->Sweep().ok());
    return Get(*store_).throttled_reason();
  };
  reason();  // is given the duty to measure
  EXPECT_EQ(reason(), "");
  agent.options().dead_rows_of = "public.t";
  EXPECT_THAT(reason(), HasSubstr("public.t has 9 dead rows for each live one"));
}

TEST_F(ThrottleTest, I12_ABatchTimeOverHalfOfDeadlockTimeoutIsRefusedWithBothNumbers) {
  FakeLedger ledger(1'000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.options().deadlock_timeout_ms = 800;
  agent.Heartbeat();  // is given the duty to measure
  agent.Heartbeat();
  pb::ThrottleRunRequest request = Request();
  request.mutable_batch_time_duration()->set_nanos(500'000'000);
  const auto refused = store_->ThrottleRun(request, {});
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("500ms"));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("(800ms)"));
  request.mutable_batch_time_duration()->set_nanos(400'000'000);
  request.set_request_id(MakeUuid());
  EXPECT_TRUE(store_->ThrottleRun(request, {}).ok());
}

}  // namespace
}  // namespace dunlin::coordinator
