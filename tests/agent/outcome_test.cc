// What the ledger says became of a run: redone, done elsewhere.
#include "absl/strings/str_cat.h"

#include "tests/agent/agent_fixture.h"

namespace dunlin::agent {
namespace {

using ::testing::HasSubstr;

class OutcomeTest : public AgentTest {
 protected:
  OutcomeTest() {
    MakeItems(100);
    UseCountUp("soak: 0s\n");
  }
  void WorkAll() {
    int64_t epoch = ++epoch_;
    for (const LedgerShard& shard : PlanRun()) ASSERT_TRUE(Work(shard, epoch).done);
  }
  void Finish() {
    WorkAll();
    ASSERT_TRUE(std::holds_alternative<FinalizeResult>(Task(TaskKind::kFinalize, 0, RunShards())));
  }
  int64_t RunShards() {
    return Int(
        absl::StrCat("SELECT count(*) FROM dunlin.shard WHERE run = '", run_.id.value(), "'"));
  }
  // From here on tasks belong to a new run.
  RunId NewRun(const RunId& follows = RunId()) {
    const RunId former = run_.id;
    run_.id = RunId(MakeUuid());
    run_.follows = follows;
    task_epoch_ = 0;
    return former;
  }
  std::string Outcome(const RunId& run) {
    return Text(absl::StrCat("SELECT coalesce(outcome, 'open') FROM dunlin.run WHERE id = '",
                             run.value(), "'"));
  }
  TaskResult Baseline() {
    TaskWork task = MakeTask(TaskKind::kBaseline);
    task.note = "ada: from a template";
    return RunTaskWork(task);
  }
  int64_t epoch_ = 0;
};

TEST_F(OutcomeTest, ARedoTakesTheFormersPlaceInTheTransactionThatInsertsIt) {
  Finish();
  EXPECT_EQ(RowsNot(1), 0);
  const RunId former = NewRun();
  const TaskResult other = Task(TaskKind::kPlan);
  ASSERT_TRUE(std::holds_alternative<Problem>(other)) << "only a redo may";
  EXPECT_EQ(Outcome(former), "finished");
  run_.follows = former;
  Finish();
  EXPECT_EQ(RowsNot(2), 0) << "each row once more, and only once";
  EXPECT_EQ(Outcome(former), "superseded");
  EXPECT_EQ(Outcome(run_.id), "finished");
  EXPECT_THAT(Text("SELECT dunlin.require('20261123120000_count')"),
              HasSubstr("is finished since"));
}

// A store that was restored from before the run does not know it; the ledger must.
TEST_F(OutcomeTest, I1_ARunWhoseShardsWereDroppedDoesNotMakeWay) {
  Finish();
  RunTargetTask(
      {.id = "x", .target = "app", .store_id = run_.store_id, .request = ForgetRun{.run = run_.id}},
      *sessions_, {});
  ASSERT_EQ(Int("SELECT count(*) FROM dunlin.shard"), 0);
  const RunId former = NewRun();
  EXPECT_TRUE(std::holds_alternative<Problem>(Task(TaskKind::kPlan)));
  EXPECT_EQ(Outcome(former), "finished");
}

// The former run ended with a shard in work: its agent may be alive still.
TEST_F(OutcomeTest, I3_ABatchOfTheFormerRunCannotCommitBehindARedo) {
  const LedgerShard shard = PlanOneShard();
  Claimed zombie = ClaimAndPrepare(shard, 1);
  ASSERT_TRUE(zombie.RunBatch(10).status.ok());
  const RunId former = NewRun();
  run_.follows = former;
  ASSERT_TRUE(std::holds_alternative<PlanResult>(Task(TaskKind::kPlan)));
  const BatchOutcome late = zombie.RunBatch(10);
  EXPECT_EQ(pg::SqlStateOf(late.status), "DN001") << late.status;
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n <> 0"), 10);
}

TEST_F(OutcomeTest, AGatesQuestionIsAnsweredWhileARunIsOpen) {
  WorkAll();
  const TargetTaskAnswer answer = RunTargetTask({.id = "x", .target = "app"}, *sessions_, {});
  ASSERT_TRUE(std::holds_alternative<ConfirmedRuns>(answer.result));
  ASSERT_EQ(std::get<ConfirmedRuns>(answer.result).runs.size(), 1u);
  EXPECT_EQ(std::get<ConfirmedRuns>(answer.result).runs[0].outcome, "open");
}

TEST_F(OutcomeTest, ABaselineIsARecordWithItsReasonAndKeepsOthersFromRunningIt) {
  ASSERT_TRUE(std::holds_alternative<BaselineResult>(Baseline()));
  ASSERT_TRUE(std::holds_alternative<BaselineResult>(Baseline())) << "again: the same";
  EXPECT_EQ(Outcome(run_.id), "baseline");
  EXPECT_THAT(Text("SELECT dunlin.require('20261123120000_count')"),
              HasSubstr("is recorded as done elsewhere: ada: from a template"));
  EXPECT_EQ(RowsNot(0), 0);
  const RunId former = NewRun();
  const TaskResult planned = Task(TaskKind::kPlan);
  ASSERT_TRUE(std::holds_alternative<Problem>(planned));
  EXPECT_THAT(std::get<Problem>(planned).message, HasSubstr("recorded as done elsewhere"));
  EXPECT_EQ(Outcome(former), "baseline");
}

TEST_F(OutcomeTest, ABaselineDoesNotHideARunThatHasChangedRows) {
  WorkAll();
  const RunId former = NewRun();
  const TaskResult recorded = Baseline();
  ASSERT_TRUE(std::holds_alternative<Problem>(recorded));
  EXPECT_EQ(Outcome(former), "open");
}

}  // namespace
}  // namespace dunlin::agent
