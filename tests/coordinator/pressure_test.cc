#include "coordinator/logic/pressure.h"

#include <limits>

#include <gmock/gmock.h>

#include "coordinator/logic/pace_controller.h"

namespace dunlin::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

SignalBoard Board(std::vector<SignalSample> samples) {
  return {.samples = std::move(samples), .age = absl::Seconds(1)};
}

std::vector<std::string> Texts(const std::vector<Pressure>& pressures) {
  std::vector<std::string> texts;
  for (const Pressure& one : pressures) texts.push_back(one.text);
  return texts;
}

TEST(PressureTest, NamesValueAndLimitTheLoudestFirst) {
  const auto pressures = EvaluateSignals(
      Board({{.kind = SignalKind::kLockWaits, .value = 3},
             {.kind = SignalKind::kReplicaLag, .subject = "replica-2", .value = 7.4},
             {.kind = SignalKind::kBlockedSessions, .value = 1},
             {.kind = SignalKind::kProbeLatency, .value = 0.0031, .baseline = 0.0005},
             {.kind = SignalKind::kOpenTransactions, .value = 1, .baseline = 1},
             {.kind = SignalKind::kWalRate, .value = 1e12}}),
      {.run_id = "r"});
  EXPECT_THAT(
      Texts(pressures),
      ElementsAre("a one-row read takes 3.1 ms (limit 1.5 ms, normal is 0.5 ms)",
                  "1 session waits for more than 100 ms for locks that Dunlin holds (limit 0)",
                  "replica-2 is 7.4 s behind (limit 5 s)", "3 sessions wait for locks (limit 10)",
                  "others have 1 transactions open at once (limit 1.1, normal is 1)"));
  EXPECT_EQ(pressures[1].ratio, 2) << "any is twice the limit";
}

TEST(PressureTest, AFileMovesALimitOrSwitchesItOff) {
  const SignalBoard board = Board({{.kind = SignalKind::kReplicaLag, .subject = "a", .value = 20},
                                   {.kind = SignalKind::kLockWaits, .value = 50}});
  const auto pressures = EvaluateSignals(
      board,
      {.run_id = "r",
       .limits = {.named = {{SignalKind::kReplicaLag, 40},
                            {SignalKind::kLockWaits, std::numeric_limits<double>::infinity()}}}});
  EXPECT_THAT(Texts(pressures), ElementsAre("a is 20 s behind (limit 40 s)"));
  EXPECT_EQ(pressures[0].ratio, 0.5);
}

TEST(PressureTest, ASlowdownIsHarmOfDunlinsOwnAndOnlyToOthers) {
  const SignalBoard board = Board({{.kind = SignalKind::kProbeSlowdown, .value = 1.2}});
  const auto pressures = EvaluateSignals(board, {.run_id = "r"});
  EXPECT_THAT(Texts(pressures),
              ElementsAre("one-row reads take 1.20 times as long for Dunlin's work (limit 1.25)"));
  EXPECT_NEAR(pressures[0].ratio, 0.8, 1e-9) << "1 is no slowdown";
  EXPECT_GT(pressures[0].settles, absl::Seconds(1));
  EXPECT_THAT(EvaluateSignals(board, {.run_id = "r", .alone = true}), IsEmpty());
}

TEST(PressureTest, MoreTransactionsOpenAtOnceAreHarmOverWhatIsNormal) {
  const auto pressure = [](double open, double normal) {
    return EvaluateSignals(
               Board({{.kind = SignalKind::kOpenTransactions, .value = open, .baseline = normal}}),
               {.run_id = "r"})
        .at(0);
  };
  EXPECT_EQ(pressure(2.8, 2).text,
            "others have 2.8 transactions open at once (limit 2.18, normal is 2)");
  EXPECT_NEAR(pressure(2.18, 2).ratio, 1, 1e-9);
  EXPECT_EQ(pressure(2, 2).ratio, 0);
  EXPECT_EQ(pressure(1, 2).ratio, 0);
  EXPECT_LT(pressure(0.02, 0.01).ratio, 1) << "few are chance";
}

TEST(PressureTest, AMeanNearItsLimitLeavesThePaceThatARunBeginsWith) {
  const auto slowest = [](double value) {
    const auto pressures = EvaluateSignals(
        Board({{.kind = SignalKind::kProbeSlowdown, .value = value}}), {.run_id = "r"});
    return pressures.at(0).slowest;
  };
  const PaceLimits limits;
  EXPECT_EQ(LowestRung(slowest(1.9), limits), FirstRung(limits)) << "chance does as much";
  EXPECT_EQ(LowestRung(slowest(2.1), limits), 1) << "a trickle";
}

TEST(PressureTest, BesideAnApplicationNothingRisesBeforeItsNormalIsKnown) {
  const SignalBoard board = Board({{.kind = SignalKind::kProbeLatency, .baseline = 0.0005}});
  const auto pressures = EvaluateSignals(board, {.run_id = "r"});
  EXPECT_THAT(pressures.at(0).text, HasSubstr("not known yet what is normal"));
  EXPECT_GT(pressures[0].ratio, 0.5);
  EXPECT_LT(pressures[0].ratio, 0.8) << "it is no harm";
  EXPECT_EQ(EvaluateSignals(board, {.run_id = "r", .alone = true, .level_age = absl::Minutes(1)})
                .at(0)
                .ratio,
            0);
}

TEST(PressureTest, WhatCouldNeverBeReadHoldsNothingBackWhatWasLostOrIsNamedDoes) {
  const SignalSample unreadable{.kind = SignalKind::kReplicaLag, .not_measured = "role x may not"};
  EXPECT_THAT(EvaluateSignals(Board({unreadable}), {.run_id = "r"}), IsEmpty());

  const auto named = EvaluateSignals(
      Board({unreadable}), {.run_id = "r", .limits = {.named = {{SignalKind::kReplicaLag, 5}}}});
  ASSERT_EQ(named.size(), 1U);
  EXPECT_EQ(named[0].ratio, 1);
  EXPECT_THAT(named[0].text, HasSubstr("and the file names it: role x may not"));

  std::vector<SignalSample> after = {unreadable};
  MarkLost({{.kind = SignalKind::kReplicaLag, .subject = "a"}}, after);
  EXPECT_TRUE(after[0].lost);
  std::vector<SignalSample> later = {unreadable};
  MarkLost(after, later);
  EXPECT_TRUE(later[0].lost) << "as long as it lasts";
  EXPECT_THAT(EvaluateSignals(Board(after), {.run_id = "r"}).at(0).text, HasSubstr("any more"));
}

TEST(PressureTest, OldSignalsArePressureWhateverTheySaid) {
  SignalBoard board = Board({{.kind = SignalKind::kLockWaits, .value = 0}});
  board.age = absl::Seconds(5);
  EXPECT_EQ(EvaluateSignals(board, {.run_id = "r"}).at(0).ratio, 0);
  board.age = absl::Seconds(6);
  EXPECT_THAT(Texts(EvaluateSignals(board, {.run_id = "r"})),
              ElementsAre("nothing has been measured on the target for 6 s (limit 5 s)"));
}

TEST(PressureTest, ACheckAndATableConcernTheirOwnRunOnly) {
  const SignalBoard board = Board({{.kind = SignalKind::kCheck, .subject = "other", .value = 1},
                                   {.kind = SignalKind::kDeadRows, .subject = "t", .value = 9}});
  EXPECT_THAT(EvaluateSignals(board, {.run_id = "r"}), IsEmpty());
  EXPECT_EQ(
      EvaluateSignals(board, {.run_id = "other", .limits = {.check_sql = "SELECT f()"}}).at(0).text,
      "the file's check answers false: SELECT f()");
  EXPECT_EQ(EvaluateSignals(board, {.run_id = "r", .tables = {"t"}}).size(), 1U);
}

TEST(PressureTest, ACheckThatNobodyAnswersHoldsAndThenPresses) {
  const SignalBoard board = Board({{.kind = SignalKind::kLockWaits}});
  PressureOfRun run{.run_id = "r", .limits = {.check_sql = "SELECT true"}};
  run.working_for = absl::Seconds(1);
  EXPECT_LT(EvaluateSignals(board, run).at(0).ratio, 0.8);
  run.working_for = absl::Seconds(6);
  EXPECT_EQ(EvaluateSignals(board, run).at(0).ratio, 1);
}

TEST(PressureTest, AReasonSaysHowLongItHasLasted) {
  const absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  const PaceDecision decision = DecidePace(
      {.pressures = {{.key = "k", .text = "replica-2 is 7.4 s behind (limit 5 s)", .ratio = 1.48}},
       .now = now},
      {.rung = TopRung({})});
  EXPECT_EQ(ThrottleText(decision, {{.key = "k", .since = now - absl::Seconds(197)}}, now),
            "replica-2 is 7.4 s behind (limit 5 s), for 3 min; 2 of 4 shards at once");
}

}  // namespace
}  // namespace dunlin::coordinator
