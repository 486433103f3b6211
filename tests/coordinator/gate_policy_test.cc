#include "coordinator/logic/gate_policy.h"

#include <gmock/gmock.h>

#include "coordinator/logic/start_policy.h"

namespace dunlin::coordinator {
namespace {

using ::testing::HasSubstr;
using Verdict = GateDecision::Verdict;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

GateFacts Finished() {
  return {.migration = "20261123120000_x",
          .stands_in_for = "",
          .target = "orders",
          .now = kNow,
          .state = RunState::kFinished,
          .reason = "",
          .digest = "aaaaaaaaaaaaaaaa",
          .file_digest = "",
          .confirmed = "finished",
          .confirmed_at = kNow - absl::Seconds(5),
          .finished_at = kNow - absl::Hours(24),
          .agent_connected = true,
          .soak = absl::ZeroDuration(),
          .confirmed_within = absl::Minutes(5)};
}

TEST(GatePolicyTest, OpensOnlyOnTheTargetsOwnFreshWord) {
  EXPECT_EQ(DecideGate(Finished()).verdict, Verdict::kOpen);
  GateFacts never_asked = Finished();
  never_asked.confirmed = "";
  GateFacts stale = Finished();
  stale.confirmed_at = kNow - absl::Minutes(6);
  for (const GateFacts& facts : {never_asked, stale}) {
    const GateDecision decision = DecideGate(facts);
    EXPECT_EQ(decision.verdict, Verdict::kWait);
    EXPECT_TRUE(decision.ask_target);
    EXPECT_TRUE(decision.confirming);
  }
  stale.agent_connected = false;
  const GateDecision alone = DecideGate(stale);
  EXPECT_TRUE(alone.ask_target);
  EXPECT_FALSE(alone.confirming);
  EXPECT_THAT(alone.message, HasSubstr("dunlin-agent --coordinator"));
}

TEST(GatePolicyTest, ABadWordNeedsAPersonAndIsAskedForAgain) {
  for (const std::string word : {"missing", "open", "undone", "superseded"}) {
    GateFacts facts = Finished();
    facts.confirmed = word;
    facts.confirmed_at = kNow;
    const GateDecision decision = DecideGate(facts);
    EXPECT_EQ(decision.verdict, Verdict::kNeedsPerson) << word;
    EXPECT_TRUE(decision.ask_target) << word;
    facts.confirmed_at = kNow - absl::Seconds(30);  // as fresh as a good word must be
    EXPECT_EQ(DecideGate(facts).verdict, Verdict::kWait) << word << " may have been mended";
  }
}

TEST(GatePolicyTest, TheSoakIsCountedFromTheFinishAndABaselineNeedsNone) {
  GateFacts facts = Finished();
  facts.soak = absl::Hours(48);
  const GateDecision decision = DecideGate(facts);
  EXPECT_EQ(decision.verdict, Verdict::kWait);
  EXPECT_EQ(decision.soak_end, kNow + absl::Hours(24));
  EXPECT_THAT(decision.message, HasSubstr("1 d more"));
  facts.soak = absl::Hours(24);
  EXPECT_EQ(DecideGate(facts).verdict, Verdict::kOpen);
  facts.soak = absl::Hours(48);
  facts.confirmed = "baseline";
  EXPECT_EQ(DecideGate(facts).verdict, Verdict::kOpen);
}

TEST(GatePolicyTest, WaitsForWhatPassesByItselfOnly) {
  GateFacts facts = Finished();
  facts.confirmed = "";
  for (const RunState state : {RunState::kPending, RunState::kPlanning, RunState::kRunning,
                               RunState::kPausing, RunState::kFinalizing, RunState::kCancelling}) {
    facts.state = state;
    EXPECT_EQ(DecideGate(facts).verdict, Verdict::kWait) << ToText(state);
  }
  for (const RunState state : {RunState::kPaused, RunState::kFailed, RunState::kCancelled}) {
    facts.state = state;
    EXPECT_EQ(DecideGate(facts).verdict, Verdict::kNeedsPerson) << ToText(state);
    EXPECT_THAT(DecideGate(facts).message, HasSubstr("dunlin resume 20261123120000_x"));
  }
  facts.state = RunState::kPending;
  facts.needs_person = true;
  EXPECT_EQ(DecideGate(facts).verdict, Verdict::kNeedsPerson);
  facts.state.reset();
  EXPECT_EQ(DecideGate(facts).verdict, Verdict::kWait) << "never started is not finished";
  EXPECT_THAT(DecideGate(facts).message, HasSubstr("was never started on orders"));
}

TEST(GatePolicyTest, NamesMigrationStateAndACommandThatWorks) {
  GateFacts facts = Finished();
  facts.state = RunState::kRunning;
  facts.percent_done = 45;
  EXPECT_EQ(DecideGate(facts).message,
            "20261123120000_x is RUNNING on orders, 45 % done. Watch it: dunlin watch "
            "20261123120000_x");
  facts.several_targets = true;
  facts.state = RunState::kFailed;
  facts.reason = "column nope does not exist";
  EXPECT_EQ(DecideGate(facts).message,
            "20261123120000_x is FAILED on orders: column nope does not exist. When that is "
            "mended, go on with: dunlin resume 20261123120000_x@orders");
  facts.state = RunState::kPaused;
  facts.reason = "paused by ada";
  EXPECT_EQ(DecideGate(facts).message,
            "20261123120000_x is PAUSED on orders: paused by ada. Go on with: dunlin resume "
            "20261123120000_x@orders");
  facts.only_set_aside = true;
  EXPECT_THAT(DecideGate(facts).message,
              HasSubstr("mended, go on with: dunlin quarantine retry 20261123120000_x@orders"));
  facts.several_targets = false;
  facts.local = true;
  facts.undo = true;
  facts.state = RunState::kFinished;
  EXPECT_EQ(DecideGate(facts).message,
            "20261123120000_x was undone on orders. To run it again: dunlin redo 20261123120000_x "
            "--database …");
  facts.undo = false;
  facts.state.reset();
  EXPECT_EQ(DecideGate(facts).message,
            "20261123120000_x was never started on orders. Start it: dunlin local FILE --database "
            "…");
  facts.local = false;
  EXPECT_THAT(DecideGate(facts).message, HasSubstr("Start it: dunlin up"));
}

TEST(GatePolicyTest, AnotherContentThanTheFilesNeedsAPersonAndShowsBothDigests) {
  GateFacts facts = Finished();
  facts.file_digest = "bbbbbbbbbbbbbbbb";
  const GateDecision decision = DecideGate(facts);
  EXPECT_EQ(decision.verdict, Verdict::kNeedsPerson);
  EXPECT_THAT(decision.message, HasSubstr("digest aaaaaaaaaaaa, the file has bbbbbbbbbbbb"));
}

TEST(StartPolicyTest, I9_ADefinitionThatHasChangedRowsIsFrozen) {
  EXPECT_EQ(DecideStart({}), StartDecision::kCreate);
  EXPECT_EQ(DecideStart({.superseded_by = "y"}), StartDecision::kRefuseSuperseded);
  EXPECT_EQ(DecideStart({.state = RunState::kFailed, .same_digest = true, .superseded_by = ""}),
            StartDecision::kKnown)
      << "it had a run: `up` leaves it to a person";
  EXPECT_EQ(DecideStart({.state = RunState::kPaused, .superseded_by = ""}),
            StartDecision::kReplace);
  EXPECT_EQ(
      DecideStart({.state = RunState::kPaused, .any_batch_committed = true, .superseded_by = ""}),
      StartDecision::kRefuseFrozen);
  EXPECT_EQ(DecideStart({.state = RunState::kFinished, .superseded_by = ""}),
            StartDecision::kRefuseFrozen)
      << "an empty table was finished without a batch";
  EXPECT_FALSE(MayBeSuperseded(RunState::kRunning));
  EXPECT_TRUE(MayBeSuperseded(RunState::kPaused));
  EXPECT_TRUE(MayBeSuperseded(RunState::kFinished));
}

}  // namespace
}  // namespace dunlin::coordinator
