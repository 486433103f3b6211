// A run's life in a real store, with agents that the test plays.
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::HasSubstr;

class RunLifeTest : public StoreTest {
 protected:
  RunLifeTest() : store_(MakeStore()), port_(MakeStorePort(*store_)) {}
  std::unique_ptr<Store> store_;
  std::unique_ptr<AgentPort> port_;
};

TEST_F(RunLifeTest, FromPendingToFinished) {
  FakeLedger ledger(100, 4);
  const pb::Run run = Start(*store_);
  EXPECT_EQ(run.state(), pb::Run::STATE_PENDING);
  EXPECT_THAT(run.reason(), HasSubstr("no agent for target orders is connected"));
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
  EXPECT_TRUE(ledger.finished());
  const pb::Run finished = Get(*store_);
  EXPECT_EQ(finished.rows_done(), 100);
  EXPECT_EQ(finished.rows_total(), 100) << "exactly 100 % when done (trap 22)";
  EXPECT_EQ(finished.shards().done(), 4);
  EXPECT_TRUE(finished.has_finish_time());
  ExpectEventsInOrder(run.run_id());
}

TEST_F(RunLifeTest, ARunThatWaitedForAnAgentHasWorkForItAtOnce) {
  FakeLedger ledger(100, 4);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  agent.Register();
  agent.Acquire();  // no sweep in between
  EXPECT_EQ(agent.leases().size(), 1U);
}

TEST_F(RunLifeTest, Trap22_ProgressIsNeverOver100PercentAndExactlyThatWhenDone) {
  FakeLedger ledger(200, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  Exec("UPDATE dunlin_store.run SET rows_total = 7");  // far more rows than estimated
  for (int i = 0; i < 3; ++i) agent.Step();
  agent.Heartbeat();
  EXPECT_GT(Get(*store_).rows_done(), 7);
  EXPECT_GE(Get(*store_).rows_total(), Get(*store_).rows_done());
  Exec("UPDATE dunlin_store.run SET rows_total = 1000");  // … and far fewer
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(Get(*store_).rows_done(), 200);
  EXPECT_EQ(Get(*store_).rows_total(), 200);
}

TEST_F(RunLifeTest, SeveralStepsOneAfterTheOtherAndVerifyByRange) {
  FakeLedger ledger(40, 2);
  auto request = StartRequest();
  request.set_definition(
      "description: Two steps\ntarget: orders\nsteps:\n"
      "  - table: public.t\n    batch: UPDATE t SET n = n + 1 WHERE :batch\n"
      "  - table: public.t\n    batch: UPDATE t SET m = n WHERE :batch\n"
      "    verify: SELECT count(*) FROM t WHERE m <> n AND :batch\n");
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
  EXPECT_EQ(ledger.WrongKeys(1), 0);
  EXPECT_EQ(Get(*store_).steps(), 2);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.task WHERE kind = 'verify' AND done"), 2);
}

TEST_F(RunLifeTest, AnEmptyTableIsFinishedWithoutShards) {
  FakeLedger ledger(0, 4);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
}

TEST_F(RunLifeTest, Trap23_VerifyThatFindsSomethingPausesAndResumeVerifiesAgain) {
  FakeLedger ledger(20, 2);
  Start(*store_, "verify: SELECT count(*) FROM t WHERE n <> 1 AND :batch\n");
  ScriptedAgent agent(*port_, ledger, {.verify_found = 3});
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  EXPECT_THAT(Get(*store_).error(), HasSubstr("verify found 6"));
  EXPECT_FALSE(ledger.finished());
  agent.options().verify_found = 0;
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(RunLifeTest, I7_PausedOnlyWhenTheHolderHasConfirmedOrIsExpired) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  ASSERT_GT(agent.shards_held(), 0);
  const auto pausing = Pause(*store_);
  ASSERT_TRUE(pausing.ok()) << pausing.status();
  EXPECT_EQ(pausing->state(), pb::Run::STATE_PAUSING);
  agent.Acquire();
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_EQ(State(*store_), "PAUSING") << "the agent has not said so yet";
  agent.Heartbeat();  // is told to stop, and releases
  EXPECT_EQ(agent.shards_held(), 0);
  EXPECT_EQ(State(*store_), "PAUSED");
  agent.Acquire();
  EXPECT_TRUE(agent.leases().empty()) << "nothing of a paused run is granted";
  const auto again = Pause(*store_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->state(), pb::Run::STATE_PAUSED);
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

// A retry of rows that are set aside, a plan, a verify: tasks that are held are work, too.
TEST_F(RunLifeTest, I7_PausedOnlyWhenTheHolderOfATaskHasGivenItBack) {
  FakeLedger ledger(100, 2);
  Start(*store_, "verify: SELECT count(*) FROM t WHERE n <> 1 AND :batch\n");
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINALIZING"));
  agent.Acquire();
  ASSERT_FALSE(agent.leases().empty());
  pb::PauseAllRunsRequest all;
  all.set_request_id(MakeUuid());
  all.set_operator_name("ada");
  const auto paused = store_->PauseAllRuns(all, {});
  ASSERT_TRUE(paused.ok()) << paused.status();
  ASSERT_EQ(paused->runs_size(), 1);
  EXPECT_EQ(paused->runs(0).state(), pb::Run::STATE_PAUSING);
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_EQ(State(*store_), "PAUSING") << "the agent has not said so yet";
  agent.Heartbeat();  // is told to stop, and releases
  EXPECT_TRUE(agent.leases().empty());
  EXPECT_EQ(State(*store_), "PAUSED");
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
}

TEST_F(RunLifeTest, CommandsInTheWrongStateAreSentences) {
  FakeLedger ledger(10, 1);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  for (const auto& refused : {Pause(*store_), Cancel(*store_), Resume(*store_)}) {
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition) << refused.status();
    EXPECT_THAT(std::string(refused.status().message()),
                HasSubstr(absl::StrCat("run ", kMigration, " is FINISHED")));
  }
  EXPECT_TRUE(absl::IsNotFound(Pause(*store_, "nonsense").status()));
}

TEST_F(RunLifeTest, CancelThenResumeGoesOnFromTheCheckpoints) {
  FakeLedger ledger(200, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  agent.Step();
  ASSERT_TRUE(Cancel(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "CANCELLED"));
  EXPECT_GT(ledger.keys_done(), 0);
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(RunLifeTest, ARequirementThatDoesNotHoldKeepsItPending) {
  FakeLedger ledger(10, 1);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.preflight_waits_for = "the column is not there yet"});
  for (int i = 0; i < 3; ++i) {
    agent.Step();
    ASSERT_TRUE(store_->Sweep().ok());
  }
  const pb::Run run = Get(*store_);
  EXPECT_EQ(run.state(), pb::Run::STATE_PENDING);
  EXPECT_EQ(run.reason(), "the column is not there yet");
  EXPECT_FALSE(ledger.planned());
}

TEST_F(RunLifeTest, AResumedRunAsksAgainWhetherItsRequirementsHold) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  ASSERT_TRUE(Pause(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  agent.options().preflight_waits_for = "the column is not there any more";
  ASSERT_TRUE(Resume(*store_).ok());
  for (int i = 0; i < 3; ++i) {
    agent.Step();
    ASSERT_TRUE(store_->Sweep().ok());
  }
  EXPECT_EQ(State(*store_), "PENDING");
  EXPECT_EQ(Get(*store_).reason(), "the column is not there any more");
}

TEST_F(RunLifeTest, DependsOnWaitsUntilThatIsFinished) {
  FakeLedger first(10, 1), second(10, 1);
  const std::string later = "20261123120001_later";
  Start(*store_, absl::StrCat("depends_on: [", kMigration, "]\n"), later);
  EXPECT_THAT(Get(*store_, later).reason(),
              HasSubstr(absl::StrCat("waits for ", kMigration, ", which was never started")));
  Start(*store_);
  ScriptedAgent agent(*port_, first, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  ScriptedAgent other(*port_, second, {.name = "b"});
  ASSERT_TRUE(StepUntil(*store_, other, "FINISHED", later));
}

TEST_F(RunLifeTest, TheCanaryPausesAfterSoManyRowsAlsoWhenNobodyHoldsALeaseThen) {
  FakeLedger ledger(100, 10);
  auto request = StartRequest();
  request.set_stop_after_rows(20);
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  // A shard is done with each batch: no heartbeat ever carries a lease.
  ScriptedAgent agent(*port_, ledger, {.slots = 1, .rows_per_batch = 10});
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  EXPECT_THAT(Get(*store_).reason(), HasSubstr("stopped after 20 rows, as asked"));
  EXPECT_EQ(ledger.keys_done(), 20);
  pb::ResumeRunRequest more;
  more.set_request_id(MakeUuid());
  more.set_operator_name("ada");
  more.set_run(kMigration);
  more.set_stop_after_rows(30);
  ASSERT_TRUE(store_->ResumeRun(more, {}).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  EXPECT_EQ(ledger.keys_done(), 50);
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
}

TEST_F(RunLifeTest, ShardsAtWorkShareWhatIsLeftOfACanary) {
  FakeLedger ledger(1000, 4);
  auto request = StartRequest();
  request.set_stop_after_rows(40);
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  ASSERT_EQ(agent.shards_held(), 4);
  agent.Heartbeat();
  for (const auto& directive : agent.last_heartbeat().directives())
    EXPECT_EQ(directive.limits().rows_left(), 10);
  EXPECT_EQ(agent.last_heartbeat().directives_size(), 4);
}

TEST_F(RunLifeTest, ProblemsPauseFailOrAreTriedAgainByTheirKind) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  ASSERT_TRUE(agent.ReleaseOneWith(agent_pb::Problem::KIND_TRANSIENT, "too many connections"));
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_EQ(State(*store_), "RUNNING");
  EXPECT_EQ(Get(*store_).throttled_reason(), "too many connections");
  ASSERT_TRUE(agent.ReleaseOneWith(agent_pb::Problem::KIND_DATA, "null value in column n of t"));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  EXPECT_THAT(Get(*store_).error(), HasSubstr("null value in column n of t"));
  ASSERT_TRUE(Resume(*store_).ok());
  EXPECT_EQ(Get(*store_).error(), "");
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  ASSERT_TRUE(agent.ReleaseOneWith(agent_pb::Problem::KIND_DEFINITION, "column m does not exist"));
  EXPECT_EQ(State(*store_), "FAILED") << "at once";
  EXPECT_THAT(Get(*store_).error(), HasSubstr("column m does not exist"));
  agent.Heartbeat();
  EXPECT_EQ(agent.shards_held(), 0) << "the others are told to stop";
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(RunLifeTest, APauseWhileTheFinishRowIsWrittenStillEndsFinished) {
  for (const bool resumed : {false, true}) {
    FakeLedger ledger(10, 1);
    const std::string name = resumed ? "20261123120002_b" : "20261123120003_a";
    Start(*store_, "", name);
    ScriptedAgent agent(*port_, ledger, {});
    ASSERT_TRUE(StepUntil(*store_, agent, "FINALIZING", name));
    agent.Acquire();
    ASSERT_EQ(agent.leases().size(), 1u);
    ASSERT_TRUE(Pause(*store_, name).ok());
    if (resumed) {
      ASSERT_TRUE(Resume(*store_, name).ok());
    }
    agent.Work();
    EXPECT_EQ(State(*store_, name), "FINISHED");
  }
}

TEST_F(RunLifeTest, AnEditedFileReplacesARunThatChangedNothing) {
  FakeLedger ledger(100, 2);
  const pb::Run old_run = Start(*store_);
  const auto same = store_->StartRun(StartRequest(), {});
  ASSERT_TRUE(same.ok());
  EXPECT_FALSE(same->created());
  EXPECT_EQ(same->run().run_id(), old_run.run_id());
  const auto edited = store_->StartRun(StartRequest("owner: payments\n"), {});
  ASSERT_TRUE(edited.ok()) << edited.status();
  EXPECT_TRUE(edited->created());
  EXPECT_EQ(State(*store_, old_run.run_id()), "CANCELLED");
  EXPECT_EQ(Get(*store_, old_run.run_id()).reason(), "file replaced");
  EXPECT_EQ(Get(*store_).run_id(), edited->run().run_id()) << "the newest run has the name";
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  agent.Step();
  const auto late = store_->StartRun(StartRequest(), {});
  EXPECT_TRUE(absl::IsAlreadyExists(late.status())) << late.status();
  EXPECT_THAT(std::string(late.status().message()),
              HasSubstr(edited->run().digest().substr(0, 12)));
}

}  // namespace
}  // namespace dunlin::coordinator
