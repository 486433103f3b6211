// The life of a run beside its work: approval, redo, baseline, pause all.
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "common/status_util.h"
#include "coordinator/logic/redo_policy.h"
#include "coordinator/logic/undo_policy.h"
#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LifeTest : public StoreTest {
 protected:
  LifeTest() : store_(MakeStore()), port_(MakeStorePort(*store_)) {}
  template <typename Request>
  static Request As(const std::string& who, const std::string& reason = "") {
    Request request;
    request.set_request_id(MakeUuid());
    request.set_operator_name(who);
    request.set_reason(reason);
    return request;
  }
  absl::StatusOr<pb::Run> Approve(const std::string& run, const std::string& who) {
    auto request = As<pb::ApproveRunRequest>(who, "read it");
    request.set_run(run);
    const auto approved = store_->ApproveRun(request, {.peer = "test"});
    if (!approved.ok()) return approved.status();
    return approved->run();
  }
  absl::StatusOr<pb::Run> Redo(const std::string& run, bool apply_twice = false) {
    auto request = As<pb::RedoRunRequest>("ada");
    request.set_run(run);
    request.set_apply_twice(apply_twice);
    const auto redone = store_->RedoRun(request, {.peer = "test"});
    if (!redone.ok()) return redone.status();
    return redone->run();
  }
  absl::StatusOr<pb::BaselineMigrationResponse> Baseline(const std::string& name,
                                                         const std::string& more = "") {
    auto request = As<pb::BaselineMigrationRequest>("ada", "from a template");
    request.set_migration(name);
    request.set_definition(File(more));
    return store_->BaselineMigration(request, {.peer = "test"});
  }
  std::vector<std::string> PauseAll() {
    const auto paused = store_->PauseAllRuns(As<pb::PauseAllRunsRequest>("ada", "fire"), {});
    EXPECT_TRUE(paused.ok()) << paused.status();
    return Names(paused->runs());
  }
  std::vector<std::string> ResumeAll() {
    const auto resumed = store_->ResumeAllRuns(As<pb::ResumeAllRunsRequest>("ada"), {});
    EXPECT_TRUE(resumed.ok()) << resumed.status();
    return Names(resumed->runs());
  }
  template <typename Runs>
  static std::vector<std::string> Names(const Runs& runs) {
    std::vector<std::string> names;
    for (const pb::Run& run : runs) names.push_back(run.migration());
    std::sort(names.begin(), names.end());
    return names;
  }
  void Finish(const std::string& run) {
    FakeLedger ledger(10, 1);
    ScriptedAgent agent(*port_, ledger, {});
    ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED", run));
  }
  std::unique_ptr<Store> store_;
  std::unique_ptr<AgentPort> port_;
};

TEST_F(LifeTest, ResumeAllKeepsACanary) {
  auto request = StartRequest("", kFirst);
  request.set_stop_after_rows(20);
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  FakeLedger ledger(100, 10);
  ScriptedAgent agent(*port_, ledger, {.slots = 1});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING", kFirst));
  EXPECT_THAT(PauseAll(), ElementsAre(kFirst));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED", kFirst));
  EXPECT_THAT(ResumeAll(), ElementsAre(kFirst));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED", kFirst)) << "not FINISHED";
  EXPECT_EQ(ledger.keys_done(), 20);
}

TEST_F(LifeTest, AnUndoneDependencyIsNotDone) {
  Start(*store_, "undo: {keep: [n]}\n", kFirst);
  Finish(kFirst);
  auto undo = As<pb::UndoRunRequest>("grace");
  undo.set_run(kFirst);
  ASSERT_TRUE(store_->UndoRun(undo, {}).ok());
  Finish(kFirst);
  Start(*store_, absl::StrCat("depends_on: [", kFirst, "]\n"), kSecond);
  EXPECT_THAT(Get(*store_, kSecond).reason(), HasSubstr("which was undone"));
}

TEST_F(LifeTest, ACriticalRunBeginsWhenAnotherOperatorApprovesIt) {
  auto request = StartRequest("critical: true\n", kFirst);
  request.set_reason("tax law of 2027");
  request.set_has_test(true);
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  FakeLedger ledger(10, 1);
  ScriptedAgent agent(*port_, ledger, {});
  for (int i = 0; i < 5; ++i) {
    agent.Step();
    ASSERT_TRUE(store_->Sweep().ok());
  }
  EXPECT_EQ(State(*store_, kFirst), "PENDING");
  const absl::Status own = Approve(kFirst, "ada").status();
  EXPECT_TRUE(absl::IsPermissionDenied(own)) << own;
  EXPECT_EQ(ReasonOf(own), "SAME_OPERATOR");
  agent.Step();
  EXPECT_EQ(State(*store_, kFirst), "PENDING");
  const auto approved = Approve(kFirst, "grace");
  ASSERT_TRUE(approved.ok()) << approved.status();
  EXPECT_EQ(approved->approved_by(), "grace");
  EXPECT_TRUE(Approve(kFirst, "linus").ok()) << "again changes nothing";
  EXPECT_EQ(Get(*store_, kFirst).approved_by(), "grace");
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.event WHERE kind = 'run_approved' AND actor = "
                "'grace' AND reason = 'read it' AND peer = 'test' AND audit"),
            1);
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED", kFirst));
  EXPECT_TRUE(absl::IsFailedPrecondition(Approve(kFirst, "grace").status())) << "it is over";
  Start(*store_, "", kSecond);
  EXPECT_THAT(std::string(Approve(kSecond, "grace").status().message()),
              HasSubstr("needs no approval"));
}

TEST_F(LifeTest, RedoIsRefusedWhenRowsWouldBeChangedTwice) {
  const pb::Run former = Start(*store_, "", kFirst);
  const absl::Status in_work = Redo(kFirst).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(in_work)) << in_work;
  Finish(kFirst);
  const absl::Status refused = Redo(kFirst).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr(absl::StrCat("dunlin redo ", kFirst, " --apply-twice")));
  const auto redone = Redo(kFirst, true);
  ASSERT_TRUE(redone.ok()) << redone.status();
  EXPECT_NE(redone->run_id(), former.run_id());
  EXPECT_EQ(redone->follows_run_id(), former.run_id());
  EXPECT_EQ(redone->digest(), former.digest());
  EXPECT_EQ(Get(*store_, kFirst).run_id(), redone->run_id()) << "the name means the newest";
  EXPECT_EQ(Get(*store_, former.run_id()).followed_by_run_id(), redone->run_id());
  EXPECT_TRUE(absl::IsFailedPrecondition(Redo(former.run_id(), true).status()));
  ASSERT_TRUE(Cancel(*store_, kFirst).ok());
  const absl::Status old = Resume(*store_, former.run_id()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(old)) << old;
  ASSERT_TRUE(Resume(*store_, kFirst).ok());
  Finish(kFirst);
}

// An agent dies behind its first commit, before it could tell of it.
TEST_F(LifeTest, I1_RedoIsRefusedWhenNobodyKnowsWhetherRowsWereChanged) {
  Start(*store_, "", kFirst);
  FakeLedger ledger(1000, 2);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING", kFirst));
  agent.Acquire();
  agent.Work();
  ASSERT_GT(ledger.keys_done(), 0);
  ASSERT_EQ(Get(*store_, kFirst).rows_done(), 0) << "it has not told";
  agent.Die();
  ASSERT_TRUE(Cancel(*store_, kFirst).ok());
  Exec("UPDATE dunlin_store.shard SET expires_at = '-infinity'");
  ASSERT_TRUE(store_->Sweep().ok());
  ASSERT_EQ(State(*store_, kFirst), "CANCELLED");
  const absl::Status refused = Redo(kFirst).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_TRUE(Redo(kFirst, true).ok());
}

TEST_F(LifeTest, WhoeverDoesACriticalRunAgainIsNotWhoApprovesIt) {
  auto request = StartRequest("critical: true\nidempotent: true\n", kFirst);
  request.set_reason("asked for");
  request.set_has_test(true);
  ASSERT_TRUE(store_->StartRun(request, {.peer = "test"}).ok());
  ASSERT_TRUE(Approve(kFirst, "grace").ok());
  Finish(kFirst);
  auto redo = As<pb::RedoRunRequest>("grace");
  redo.set_run(kFirst);
  EXPECT_EQ(ReasonOf(store_->RedoRun(redo, {}).status()), "CRITICAL_WITHOUT_REASON");
  redo = As<pb::RedoRunRequest>("grace", "the rate was wrong");
  redo.set_run(kFirst);
  const auto redone = store_->RedoRun(redo, {.peer = "test"});
  ASSERT_TRUE(redone.ok()) << redone.status();
  EXPECT_EQ(redone->run().operator_name(), "grace");
  EXPECT_EQ(ReasonOf(Approve(kFirst, "grace").status()), "SAME_OPERATOR");
  EXPECT_TRUE(Approve(kFirst, "ada").ok());
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.event WHERE kind = 'run_created' AND actor = "
                "'grace' AND reason = 'the rate was wrong'"),
            1);
}

TEST_F(LifeTest, TheLaterOnesWaitForARedoToo) {
  Start(*store_, "idempotent: true\n", kFirst);
  Finish(kFirst);
  ASSERT_TRUE(Redo(kFirst).ok()) << "the file says that it does no harm";
  Start(*store_, "", kSecond);
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_THAT(Get(*store_, kSecond).reason(), HasSubstr(absl::StrCat("waits for ", kFirst)));
  Finish(kFirst);
  Finish(kSecond);
}

TEST_F(LifeTest, ResumeAllResumesWhatPauseAllPausedAndNothingElse) {
  Start(*store_, "depends_on: []\n", kFirst);
  FakeLedger ledger(1000, 2);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING", kFirst));
  // Not planned: the scripted ledger is that of one run.
  for (const char* name : {kSecond, kThird}) Start(*store_, "depends_on: []\n", name);
  ASSERT_TRUE(Pause(*store_, kSecond).ok());
  EXPECT_THAT(PauseAll(), ElementsAre(kFirst, kThird));
  EXPECT_THAT(PauseAll(), IsEmpty()) << "again: nothing runs any more";
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED", kFirst));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED", kThird));
  EXPECT_THAT(Get(*store_, kFirst).reason(), HasSubstr("paused by ada: fire"));
  ASSERT_TRUE(Resume(*store_, kThird).ok());
  ASSERT_TRUE(Pause(*store_, kThird).ok());
  EXPECT_THAT(ResumeAll(), ElementsAre(kFirst)) << "the third was resumed and paused by itself";
  EXPECT_EQ(State(*store_, kSecond), "PAUSED");
  EXPECT_THAT(ResumeAll(), IsEmpty());
}

TEST_F(LifeTest, ABaselineIsFinishedWhenTheTargetHasItsRecord) {
  const auto recorded = Baseline(kFirst);
  ASSERT_TRUE(recorded.ok()) << recorded.status();
  EXPECT_TRUE(recorded->created());
  EXPECT_EQ(recorded->run().kind(), pb::Run::KIND_BASELINE);
  EXPECT_THAT(recorded->run().reason(), HasSubstr("no agent for target orders"));
  Start(*store_, "", kSecond);
  EXPECT_THAT(Get(*store_, kSecond).reason(), HasSubstr(absl::StrCat("waits for ", kFirst)));
  FakeLedger ledger(10, 1);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED", kFirst));
  EXPECT_EQ(
      Text(absl::StrCat("SELECT confirmed FROM dunlin_store.run WHERE migration = '", kFirst, "'")),
      "baseline");
  EXPECT_FALSE(ledger.planned()) << "nothing was done to any row";
  EXPECT_FALSE(Baseline(kFirst)->created());
  const auto started = store_->StartRun(StartRequest("", kFirst), {});
  ASSERT_TRUE(started.ok());
  EXPECT_FALSE(started->created()) << "`up` takes it as done";
  EXPECT_TRUE(absl::IsPermissionDenied(Redo(kFirst).status())) << "its rows are changed, elsewhere";
  Finish(kSecond);
  EXPECT_FALSE(Baseline(kSecond)->created()) << "it had a run: left as it is";
}

TEST_F(LifeTest, AnUndoIsTheNewestRunAndHoldsTheLaterOnesBack) {
  const auto undo = [&](const std::string& run) {
    auto request = As<pb::UndoRunRequest>("grace", "wrong rate");
    request.set_run(run);
    return store_->UndoRun(request, {.peer = "test"});
  };
  const pb::Run former = Start(*store_, "undo: {keep: [n]}\n", kFirst);
  EXPECT_TRUE(absl::IsFailedPrecondition(undo(kFirst).status())) << "it is in work";
  Finish(kFirst);
  const auto begun = undo(kFirst);
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_EQ(begun->run().kind(), pb::Run::KIND_UNDO);
  EXPECT_EQ(begun->run().follows_run_id(), former.run_id());
  EXPECT_EQ(Get(*store_, kFirst).run_id(), begun->run().run_id());
  Start(*store_, "", kSecond);
  EXPECT_THAT(Get(*store_, kSecond).reason(), HasSubstr("which is being undone"));
  Finish(kFirst);
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_EQ(State(*store_, kSecond), "PENDING");
  EXPECT_THAT(Get(*store_, kSecond).reason(),
              HasSubstr(absl::StrCat("which was undone; to run it again: dunlin redo ", kFirst)));
  EXPECT_THAT(std::string(undo(kFirst).status().message()), HasSubstr("it is undone already"));
  EXPECT_TRUE(absl::IsFailedPrecondition(Resume(*store_, former.run_id()).status()));
  const auto started = store_->StartRun(StartRequest("undo: {keep: [n]}\n", kFirst), {});
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_FALSE(started->created()) << "`up` does not run it again";
  const auto edited = store_->StartRun(StartRequest("undo: {keep: [n]}\nsoak: 1h\n", kFirst), {});
  EXPECT_TRUE(absl::IsAlreadyExists(edited.status())) << "what has changed rows is frozen";
  ASSERT_TRUE(Redo(kFirst).ok()) << "it was undone completely";
  Finish(kFirst);
  Finish(kSecond);
  EXPECT_THAT(std::string(undo(kSecond).status().message()), HasSubstr("its file has no `undo:`"));
}

TEST(UndoPolicyTest, OnlyWhatHasChangedRowsAndKeptThem) {
  EXPECT_EQ(WhyNoUndo({}), "");
  EXPECT_EQ(WhyNoUndo({.state = RunState::kPaused}), "");
  EXPECT_EQ(WhyNoUndo({.state = RunState::kFailed}), "");
  EXPECT_NE(WhyNoUndo({.state = RunState::kRunning}), "");
  EXPECT_NE(WhyNoUndo({.state = RunState::kPausing}), "");
  EXPECT_NE(WhyNoUndo({.kind = RunKind::kBaseline}), "");
  EXPECT_NE(WhyNoUndo({.kind = RunKind::kUndo}), "");
  EXPECT_NE(WhyNoUndo({.any_batch_committed = false}), "");
  EXPECT_NE(WhyNoUndo({.forgotten = true}), "");
  EXPECT_THAT(WhyNoUndo({.why_not_undoable = "its file has no `undo:`"}), HasSubstr("no `undo:`"));
}

TEST(RedoPolicyTest, AnUndoThatLeftRowsIsNotComplete) {
  const RedoFacts undone{
      .state = RunState::kFinished, .kind = RunKind::kUndo, .any_batch_committed = true};
  EXPECT_EQ(DecideRedo(undone), RedoDecision::kCreate);
  RedoFacts left = undone;
  left.rows_left = 1;
  EXPECT_EQ(DecideRedo(left), RedoDecision::kRefuseTwice);
  RedoFacts ended_early = undone;
  ended_early.state = RunState::kCancelled;
  EXPECT_EQ(DecideRedo(ended_early), RedoDecision::kRefuseTwice);
}

TEST(RedoPolicyTest, OnlyWhatHasEndedAndWouldNotApplyTwice) {
  const RedoFacts done{.state = RunState::kFinished, .any_batch_committed = true};
  EXPECT_EQ(DecideRedo(done), RedoDecision::kRefuseTwice);
  for (const RunState state : {RunState::kPending, RunState::kRunning, RunState::kPausing,
                               RunState::kPaused, RunState::kCancelling})
    EXPECT_EQ(DecideRedo({.state = state, .apply_twice = true}), RedoDecision::kRefuseInWork);
  for (const RunState state : {RunState::kFinished, RunState::kCancelled, RunState::kFailed}) {
    EXPECT_EQ(DecideRedo({.state = state}), RedoDecision::kCreate) << "no row was changed";
    EXPECT_EQ(DecideRedo({.state = state, .any_batch_committed = true, .idempotent = true}),
              RedoDecision::kCreate);
    EXPECT_EQ(DecideRedo({.state = state, .any_batch_committed = true, .apply_twice = true}),
              RedoDecision::kCreate);
    EXPECT_EQ(DecideRedo({.state = state, .kind = RunKind::kBaseline}), RedoDecision::kRefuseTwice);
  }
}

}  // namespace
}  // namespace dunlin::coordinator
