// A target fails over, and has lost its last moments: the store's side, with an agent that the test
// plays. The same on real servers is in tests/e2e/failover_test.cc.
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::HasSubstr;

class FailoverTest : public StoreTest {
 protected:
  FailoverTest() : store_(MakeStore()), port_(MakeStorePort(*store_)) {}

  // A lost tail: the ledger is what it was, on the next timeline.
  void FailOver(ScriptedAgent& agent, FakeLedger& ledger, const FakeLedger::State& to) {
    ledger.FailOverTo(to);
    ++agent.options().timeline;
  }
  int64_t LeasesHeld() {
    return Int(
        "SELECT (SELECT count(*) FROM dunlin_store.shard WHERE lease_id IS NOT NULL) + "
        "(SELECT count(*) FROM dunlin_store.task WHERE lease_id IS NOT NULL)");
  }
  pb::GateResult Gate() {
    pb::CheckGateRequest request;
    request.set_migration(kMigration);
    const auto answer = store_->CheckGate(request);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->results(0) : pb::GateResult();
  }

  std::unique_ptr<Store> store_;
  std::unique_ptr<AgentPort> port_;
};

TEST_F(FailoverTest, I1_BatchesThatWereLostAreDoneAgainAndNobodyIsAsked) {
  FakeLedger ledger(1000, 4);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.rows_per_batch = 50});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  const FakeLedger::State replica = ledger.Copy();
  for (int i = 0; i < 3; ++i) agent.Step();
  EXPECT_GT(Get(*store_).rows_done(), 0);
  FailOver(agent, ledger, replica);
  agent.Heartbeat();
  EXPECT_TRUE(agent.leases().empty()) << "all leases of the target are revoked";
  EXPECT_EQ(State(*store_), "RUNNING");
  EXPECT_THAT(Get(*store_).reason(), HasSubstr("target orders has failed over (timeline 1 → 2)"));
  agent.Acquire();
  EXPECT_EQ(agent.shards_held(), 0) << "nothing is granted before the ledger was read";
  ASSERT_EQ(agent.leases().size(), 1u);
  agent.Work();
  EXPECT_EQ(Get(*store_).reason(), "");
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.event WHERE kind = 'failover'"), 1);
  ExpectEventsInOrder(Get(*store_).run_id());
}

TEST_F(FailoverTest, AFinishedRunWhoseFinishRowWasLostFinishesAgain) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  const FakeLedger::State replica = ledger.Copy();
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  FailOver(agent, ledger, replica);
  agent.Heartbeat();  // it holds nothing, and tells of the target all the same
  EXPECT_EQ(Gate().verdict(), pb::GateResult::VERDICT_WAIT);
  EXPECT_THAT(Gate().message(), HasSubstr("has failed over since"));
  ASSERT_TRUE(store_->Sweep().ok());
  agent.Step();
  EXPECT_NE(State(*store_), "FINISHED");
  EXPECT_FALSE(Get(*store_).has_finish_time());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_TRUE(ledger.finished());
  EXPECT_EQ(ledger.WrongKeys(0), 0);
  EXPECT_EQ(Gate().verdict(), pb::GateResult::VERDICT_OPEN);
}

// A call that waits for a run's row which the test has locked, while it commits something else.
class RacingFailover : public FailoverTest {
 protected:
  // `call` runs until it waits for the run; then `meanwhile` is committed, and it goes on.
  void Beside(const std::function<void()>& call, const std::string& meanwhile) {
    const auto other = Server().Connect(database_);
    ASSERT_TRUE(other->Query("BEGIN").ok());
    ASSERT_TRUE(other->Query("SELECT FROM dunlin_store.run FOR UPDATE").ok());
    std::jthread calling(call);
    EXPECT_TRUE(testing::Eventually(absl::Seconds(20), [&] {
      return Int("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                 "datname = current_database()") == 1;
    }));
    EXPECT_TRUE(other->ExecuteScript(meanwhile + "; COMMIT").ok());
  }
};

TEST_F(RacingFailover, I1_ARepeatedRequestGetsNoLeaseThatAFailoverHasRevoked) {
  FakeLedger ledger(1000, 4);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent_pb::AcquireLeasesRequest request;
  request.set_request_id("again");
  request.set_agent_id(agent.id());
  request.set_leases_max(4);
  agent.FillTarget(request.add_targets());
  const auto first = store_->AcquireLeases(request);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_GT(first->leases_size(), 0);
  absl::StatusOr<agent_pb::AcquireLeasesResponse> again;
  Beside([&] { again = store_->AcquireLeases(request); },
         "UPDATE dunlin_store.shard SET lease_id = NULL; UPDATE dunlin_store.target SET timeline = "
         "2");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->leases_size(), 0);
}

TEST_F(RacingFailover, AFinishedRunThatIsJustFoundUnfinishedIsReadAgain) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  ++agent.options().timeline;
  agent.Heartbeat();
  ASSERT_EQ(Int("SELECT count(*) FROM dunlin_store.run WHERE reconcile_due"), 1);
  ++agent.options().timeline;
  // What its reconcile commits.
  Beside([&] { agent.Heartbeat(); },
         "UPDATE dunlin_store.run SET state = 'RUNNING', reconcile_due = false");
  EXPECT_EQ(Int("SELECT timeline FROM dunlin_store.target"), 3);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.run WHERE reconcile_due"), 1);
}

TEST_F(FailoverTest, ManyClaimsThatFindAnotherLedgerAreOneReconcile) {
  FakeLedger ledger(1000, 8);
  Start(*store_, "limits: {concurrency: 8}\n");
  ScriptedAgent agent(*port_, ledger, {.slots = 8});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  ASSERT_EQ(agent.shards_held(), 8);
  for (int i = 0; i < 8; ++i)
    ASSERT_TRUE(agent.ReleaseOneWith(agent_pb::Problem::KIND_LEDGER_MISMATCH, "other bounds"));
  EXPECT_EQ(State(*store_), "RUNNING") << Get(*store_).error();
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
}

TEST_F(FailoverTest, AFinishedRunThatLostNothingStaysFinished) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  FailOver(agent, ledger, ledger.Copy());
  for (int i = 0; i < 3; ++i) {
    agent.Step();
    ASSERT_TRUE(store_->Sweep().ok());
  }
  EXPECT_EQ(State(*store_), "FINISHED");
  EXPECT_EQ(LeasesHeld(), 0);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.run WHERE reconcile_due"), 0);
  EXPECT_EQ(Gate().verdict(), pb::GateResult::VERDICT_OPEN) << Gate().message();
}

TEST_F(FailoverTest, APlanThatWasLostIsMadeAgain) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  FailOver(agent, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.event WHERE kind = 'run_state_changed' AND "
                "new_value = 'PLANNING'"),
            2);
}

TEST_F(FailoverTest, AFinishedRunOfWhichNothingIsLeftIsPlannedAgain) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  FailOver(agent, ledger, {});
  agent.Heartbeat();
  ASSERT_TRUE(store_->Sweep().ok());
  agent.Step();
  EXPECT_EQ(State(*store_), "PLANNING");
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(FailoverTest, AStepWhosePlanWasLostIsPlannedAgain) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  FakeLedger::State replica = ledger.Copy();
  replica.shards.clear();  // its record is there, the step's shards are not
  FailOver(agent, ledger, replica);
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(FailoverTest, TheSameTimelineWithoutShardsFailsTheRun) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  FakeLedger::State without = ledger.Copy();
  without.shards.clear();
  ledger.FailOverTo(without);
  for (int i = 0; i < 20 && State(*store_) != "FAILED"; ++i) agent.Step();
  EXPECT_EQ(State(*store_), "FAILED");
  EXPECT_THAT(Get(*store_).error(), HasSubstr("on the server where it was planned"));
  ASSERT_TRUE(Resume(*store_).ok());
  for (int i = 0; i < 20 && State(*store_) != "FAILED"; ++i) agent.Step();
  EXPECT_EQ(State(*store_), "FAILED") << "resume looks again, and changes nothing";
  EXPECT_EQ(ledger.keys_done(), static_cast<int>(without.counts.size()));
}

TEST_F(FailoverTest, I3_NoEpochIsGrantedAgainThoughTheLedgerHasForgottenIt) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  const FakeLedger::State before_any_claim = ledger.Copy();
  agent.Step();
  Exec("UPDATE dunlin_store.shard SET epoch = 40");  // as after many grants
  FailOver(agent, ledger, before_any_claim);
  agent.Heartbeat();
  agent.Acquire();
  agent.Work();  // the ledger is read
  EXPECT_EQ(Int("SELECT min(epoch) FROM dunlin_store.shard"), 40);
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(FailoverTest, I1_ARecordLostBehindAFailoverThatWasReadFailsTheRun) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  FailOver(agent, ledger, ledger.Copy());
  for (int i = 0; i < 3; ++i) agent.Step();  // it is read again, and goes on
  ASSERT_EQ(State(*store_), "RUNNING");
  ASSERT_GT(ledger.keys_done(), 0);
  ledger.Forget();
  for (int i = 0; i < 20 && State(*store_) != "FAILED"; ++i) agent.Step();
  EXPECT_EQ(State(*store_), "FAILED") << "no failover explains it any more";
}

TEST_F(FailoverTest, AnotherServerStopsTheRunUntilAPersonHasLooked) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  agent.options().system_identifier = "7002";
  agent.Heartbeat();
  EXPECT_EQ(State(*store_), "PAUSED");
  EXPECT_THAT(Get(*store_).error(),
              HasSubstr("is another PostgreSQL server than before (system identifier 7001, now "
                        "7002)"));
  EXPECT_TRUE(agent.leases().empty());
  // Upgraded: the ledger came along.
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(FailoverTest, AnotherServerWithoutTheRunsRecordFailsIt) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  ledger.Forget();
  agent.options() = {.timeline = 9, .system_identifier = "7002"};
  agent.Heartbeat();
  ASSERT_TRUE(Resume(*store_).ok());
  for (int i = 0; i < 20 && State(*store_) != "FAILED"; ++i) agent.Step();
  EXPECT_EQ(State(*store_), "FAILED") << "no timeline of another server explains it";
  EXPECT_THAT(Get(*store_).error(), HasSubstr("another PostgreSQL server (7002)"));
}

TEST_F(FailoverTest, AServerThatWasLeftBehindGetsNoWorkAndItsReportsDoNotCount) {
  FakeLedger ledger(100, 1);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.slots = 1, .rows_per_batch = 100});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  ScriptedAgent other(*port_, ledger, {.name = "other", .timeline = 2});
  other.Heartbeat();  // the target fails over
  agent.Step();
  EXPECT_TRUE(agent.leases().empty()) << "granted nothing: it still reaches the former primary";
  other.Acquire();
  other.Work();  // reads the ledger
  other.Acquire();
  ASSERT_EQ(other.shards_held(), 1);
  other.options().timeline = 1;  // its session meets the former primary
  other.Work();
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.shard WHERE done"), 0)
      << "what is done there is not done";
  EXPECT_EQ(State(*store_), "RUNNING");
}

TEST_F(FailoverTest, AReportFromALaterTimelineIsHowTheStoreHearsOfIt) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.rows_per_batch = 100});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  ASSERT_GE(agent.shards_held(), 1);
  agent.options().timeline = 2;
  agent.Work();
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.shard WHERE done"), 0);
  EXPECT_EQ(Int("SELECT timeline FROM dunlin_store.target"), 2);
  EXPECT_EQ(LeasesHeld(), 0);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.run WHERE reconcile_due"), 1);
}

TEST_F(FailoverTest, APausedRunIsReadAgainWhenItGoesOn) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  const FakeLedger::State replica = ledger.Copy();
  agent.Step();
  ASSERT_TRUE(Pause(*store_).ok());
  agent.Heartbeat();
  ASSERT_EQ(State(*store_), "PAUSED");
  FailOver(agent, ledger, replica);
  agent.Step();
  EXPECT_EQ(State(*store_), "PAUSED");
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(FailoverTest, I6_AnAcceptanceThatTheTargetLostIsMadeAgain) {
  FakeLedger ledger(100, 1);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.rows_per_batch = 100});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  agent.SetAside("23514");
  agent.Work();
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  const FakeLedger::State replica = ledger.Copy();
  pb::AcceptQuarantinedRowsRequest accept;
  accept.set_request_id(MakeUuid());
  accept.set_run(kMigration);
  accept.set_operator_name("ann");
  accept.set_reason("known");
  ASSERT_TRUE(store_->AcceptQuarantinedRows(accept, {}).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  agent.ForgetAcceptances();
  FailOver(agent, ledger, replica);
  agent.Heartbeat();
  ASSERT_TRUE(store_->Sweep().ok());
  agent.Step();
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(Text("SELECT state || ' ' || accepted_by FROM dunlin_store.quarantine"),
            "accepted ann");
}

TEST_F(FailoverTest, NoRunBeginsBehindOneWhoseEndMayBeLost) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  const FakeLedger::State replica = ledger.Copy();
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  const std::string by_order = "20261201000000_by_order", by_name = "20261201000001_by_name";
  Start(*store_, "", by_order);
  Start(*store_, absl::StrCat("depends_on: [", kMigration, "]\n"), by_name);
  FailOver(agent, ledger, replica);
  agent.Heartbeat();
  ASSERT_TRUE(store_->Sweep().ok());
  ASSERT_EQ(State(*store_), "FINISHED") << "it is read again, and that has not begun";
  for (const std::string& follower : {by_order, by_name}) {
    EXPECT_THAT(Get(*store_, follower).reason(), HasSubstr("before its target failed over"));
    EXPECT_EQ(Int(absl::StrCat("SELECT count(*) FROM dunlin_store.task t JOIN dunlin_store.run r "
                               "ON r.id = t.run WHERE r.migration = '",
                               follower, "'")),
              0);
  }
}

// A task's report, as a shard's: what the former primary says counts no more.
TEST_F(FailoverTest, ATaskThatIsReportedFromAnEarlierTimelineDoesNotCount) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.timeline = 2});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINALIZING"));
  agent.Acquire();
  ASSERT_EQ(agent.leases().size(), 1u);
  agent.options().timeline = 1;
  agent.Work();
  EXPECT_NE(State(*store_), "FINISHED");
}

TEST_F(FailoverTest, WhatAGateWasToldByAnotherServerCountsNoMore) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  ASSERT_EQ(Gate().verdict(), pb::GateResult::VERDICT_OPEN);
  agent.options().system_identifier = "7002";
  agent.Heartbeat();
  EXPECT_NE(Gate().verdict(), pb::GateResult::VERDICT_OPEN) << Gate().message();
}

TEST_F(FailoverTest, I1_AStepThatLostRowsIsDoneAgainBeforeTheNextGoesOn) {
  FakeLedger ledger(400, 2);
  auto request = StartRequest();
  request.set_definition(
      "description: Two steps\ntarget: orders\nsteps:\n"
      "  - table: public.t\n    batch: UPDATE t SET n = n + 1 WHERE :batch\n"
      "  - table: public.t\n    batch: UPDATE t SET m = n WHERE :batch\n");
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  ScriptedAgent agent(*port_, ledger, {.rows_per_batch = 50});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  const FakeLedger::State in_the_first = ledger.Copy();
  for (int i = 0; i < 50 && Get(*store_).step() < 2; ++i) agent.Step();
  agent.Step();
  ASSERT_EQ(Get(*store_).step(), 2);
  FailOver(agent, ledger, in_the_first);
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
  EXPECT_EQ(ledger.WrongKeys(1), 0);
}

}  // namespace
}  // namespace dunlin::coordinator
