#include <gmock/gmock.h>

#include "coordinator/logic/coverage.h"
#include "coordinator/logic/failover.h"
#include "coordinator/logic/pace.h"
#include "coordinator/logic/quarantine.h"
#include "coordinator/logic/run_advance.h"
#include "coordinator/logic/run_state.h"

namespace dunlin::coordinator {
namespace {

TEST(RunStateTest, TextAndStateAreOneToOne) {
  for (const RunState state :
       {RunState::kPending, RunState::kPlanning, RunState::kRunning, RunState::kPausing,
        RunState::kPaused, RunState::kFinalizing, RunState::kFinished, RunState::kCancelling,
        RunState::kCancelled, RunState::kFailed}) {
    EXPECT_EQ(RunStateFromText(ToText(state)), state);
    const bool after_failover =
        state == RunState::kRunning || state == RunState::kPlanning || state == RunState::kFailed;
    EXPECT_EQ(MayChange(RunState::kFinished, state), after_failover)
        << "FINISHED is for ever, unless the target itself has lost it";
  }
}

TEST(RunAdvanceTest, I7_PausingBecomesPausedOnlyWhenNobodyHoldsALease) {
  EXPECT_EQ(DecideNext({.state = RunState::kPausing, .open_leases = 1}).kind,
            RunStepDecision::Kind::kNothing);
  const RunStepDecision decision = DecideNext({.state = RunState::kPausing, .open_leases = 0});
  EXPECT_EQ(decision.kind, RunStepDecision::Kind::kChangeState);
  EXPECT_EQ(decision.state, RunState::kPaused);
}

TEST(RunAdvanceTest, NothingElseIsDoneBeforeAReconcile) {
  const RunStepDecision decision = DecideNext(
      {.state = RunState::kRunning, .planned_steps = 1, .undone_shards = 0, .reconcile_due = true});
  EXPECT_EQ(decision.kind, RunStepDecision::Kind::kCreateTask);
  EXPECT_EQ(decision.task, TaskKind::kReconcile);
}

TEST(RunAdvanceTest, AFinishedRunIsReadAgainAfterAFailover) {
  RunFacts facts{.state = RunState::kFinished, .planned_steps = 1};
  EXPECT_EQ(DecideNext(facts).kind, RunStepDecision::Kind::kNothing);
  facts.reconcile_due = true;
  EXPECT_EQ(DecideNext(facts).task, TaskKind::kReconcile);
  facts.task_open = true;
  EXPECT_EQ(DecideNext(facts).kind, RunStepDecision::Kind::kNothing);
}

TEST(FailoverLogicTest, TheLatestTimelineOfOneServerCounts) {
  const ServerIdentity known{"7", 3};
  EXPECT_EQ(CompareIdentity({}, known), IdentityVerdict::kFirst);
  EXPECT_EQ(CompareIdentity(known, {}), IdentityVerdict::kUnreachable);
  EXPECT_EQ(CompareIdentity(known, known), IdentityVerdict::kKnown);
  EXPECT_EQ(CompareIdentity(known, {"7", 4}), IdentityVerdict::kFailover);
  EXPECT_EQ(CompareIdentity(known, {"7", 2}), IdentityVerdict::kLeftBehind);
  EXPECT_EQ(CompareIdentity(known, {"8", 3}), IdentityVerdict::kOtherServer);
}

TEST(FailoverLogicTest, I1_WhatIsMissingIsDoneAgainOnlyWhereAFailoverExplainsIt) {
  ReconcileFacts facts{.run_known = true, .planned = true, .planned_on = {"7", 1}, .now = {"7", 1}};
  EXPECT_EQ(DecideReconcile(facts), ReconcileVerdict::kTakeOver);
  facts.step_lost = true;
  EXPECT_EQ(DecideReconcile(facts), ReconcileVerdict::kRecordLost);
  facts.now.timeline = 2;
  EXPECT_EQ(DecideReconcile(facts), ReconcileVerdict::kTakeOver);
  facts.run_known = false;
  EXPECT_EQ(DecideReconcile(facts), ReconcileVerdict::kPlanAgain);
  facts.now.timeline = 1;
  EXPECT_EQ(DecideReconcile(facts), ReconcileVerdict::kRecordLost);
  facts.now = {"8", 2};
  EXPECT_EQ(DecideReconcile(facts), ReconcileVerdict::kWrongServer);
  facts.planned = false;
  EXPECT_EQ(DecideReconcile(facts), ReconcileVerdict::kPlanAgain);
  facts = {.run_known = true, .finished = true, .planned = true, .step_lost = true};
  EXPECT_EQ(DecideReconcile(facts), ReconcileVerdict::kFinished);
}

TEST(RunAdvanceTest, Trap23_VerifyThatFindsSomethingPauses) {
  EXPECT_EQ(DecideNext({.state = RunState::kFinalizing,
                        .planned_steps = 1,
                        .has_verify = true,
                        .finalize_phase = FinalizePhase::kVerify,
                        .verify_found = 3,
                        .verify_tasks = 2})
                .kind,
            RunStepDecision::Kind::kPauseVerifyFound);
}

TEST(RunAdvanceTest, RowsThatAreSetAsideHoldTheNextStepAndTheEnd) {
  RunFacts facts{.state = RunState::kRunning, .steps = 2, .planned_steps = 1, .quarantined = 1};
  EXPECT_EQ(DecideNext(facts).kind, RunStepDecision::Kind::kPauseQuarantined);
  facts.undone_shards = 1;
  EXPECT_EQ(DecideNext(facts).kind, RunStepDecision::Kind::kNothing) << "the rest goes on";
  facts.quarantine_due = true;
  EXPECT_EQ(DecideNext(facts).task, TaskKind::kQuarantine);
  facts.undone_shards = 0;
  facts.task_open = true;
  EXPECT_EQ(DecideNext(facts).kind, RunStepDecision::Kind::kNothing);
  facts = {.state = RunState::kRunning, .steps = 2, .planned_steps = 1};
  EXPECT_EQ(DecideNext(facts).kind, RunStepDecision::Kind::kNextStep);
}

TEST(QuarantineTest, Trap07_StopsByNumberAndByShareOfTheSession) {
  const auto verdict = [](int64_t set_aside, int64_t passed, int64_t failed) {
    return DecideQuarantine({.set_aside = set_aside,
                             .set_aside_max = 100,
                             .session_passed = passed,
                             .session_failed = failed});
  };
  EXPECT_EQ(verdict(100, 1'000'000, 100), QuarantineVerdict::kGoOn);
  EXPECT_EQ(verdict(101, 1'000'000, 0), QuarantineVerdict::kTooMany);
  EXPECT_EQ(verdict(49, 49, 49), QuarantineVerdict::kGoOn) << "too few to tell";
  EXPECT_EQ(verdict(12, 50, 12), QuarantineVerdict::kGoOn);
  EXPECT_EQ(verdict(13, 50, 13), QuarantineVerdict::kBreaker);
  EXPECT_EQ(verdict(25, 100, 25), QuarantineVerdict::kGoOn) << "a quarter is not more than it";
}

KeyText Key(const char* text) { return KeyText({text}); }

TEST(CoverageTest, I2_GapsAndOverlapsAreFound) {
  const std::vector<Range> good = {
      {"t", std::nullopt, Key("9")}, {"t", Key("9"), Key("10")}, {"t", Key("10"), Key("z")}};
  EXPECT_EQ(FindCoverageGap(good), "");
  EXPECT_EQ(FindCoverageGap({}), "");
  std::vector<Range> gap = good;
  gap.erase(gap.begin() + 1);
  EXPECT_NE(FindCoverageGap(gap), "");
  std::vector<Range> overlap = good;
  overlap.push_back({"t", Key("9"), Key("11")});
  EXPECT_NE(FindCoverageGap(overlap), "");
  std::vector<Range> headless = good;
  headless.erase(headless.begin());
  EXPECT_NE(FindCoverageGap(headless), "");
}

TEST(PaceTest, RunsShareATargetByPriorityAndNoneStarves) {
  EXPECT_THAT(ShareTarget({{.allowed = 8}}), ::testing::ElementsAre(8));
  EXPECT_THAT(ShareTarget({{.allowed = 8, .priority = 300}, {.allowed = 8, .priority = 100}}),
              ::testing::ElementsAre(6, 2));
  EXPECT_THAT(ShareTarget({{.allowed = 4, .priority = 1000}, {.allowed = 4}, {.allowed = 4}}),
              ::testing::ElementsAre(2, 1, 1));
  EXPECT_THAT(ShareTarget({{.allowed = 1, .priority = 1000}, {.allowed = 4}, {.allowed = 0}}),
              ::testing::ElementsAre(1, 3, 0));
  EXPECT_THAT(ShareTarget({{.allowed = 2}, {.allowed = 2}, {.allowed = 2}}),
              ::testing::ElementsAre(1, 1, 1));
}

TEST(PaceTest, SharesOfARateNeverSumUpToMoreThanTheLimit) {
  for (int allowed = 1; allowed <= 16; ++allowed) {
    for (int64_t open = 1; open <= 20; ++open) {
      EXPECT_LE(
          ShareOfRate(1000, allowed, open) * static_cast<double>(std::min<int64_t>(allowed, open)),
          1000.001);
    }
  }
}

TEST(PaceTest, Trap22_NoEtaBeforeItMeansSomething) {
  EXPECT_EQ(EstimateEta(1, 1'000'000, 1000, absl::Seconds(60)), -1);
  EXPECT_EQ(EstimateEta(500'000, 1'000'000, 1000, absl::Seconds(1)), -1);
  EXPECT_EQ(EstimateEta(500'000, 1'000'000, 0, absl::Seconds(60)), -1);
  EXPECT_EQ(EstimateEta(500'000, 1'000'000, 1000, absl::Seconds(60)), 500);
  EXPECT_EQ(EstimateEta(1'200'000, 1'000'000, 1000, absl::Seconds(60)), -1);
}

}  // namespace
}  // namespace dunlin::coordinator
