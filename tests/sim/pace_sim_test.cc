#include <algorithm>
#include <random>

#include <gmock/gmock.h>

#include "tests/sim/sim_database.h"
#include "tests/testlib/seed.h"

namespace dunlin::coordinator {
namespace {

using ::dunlin::testing::SimDatabase;

// A run on a simulated database, a tick a second.
class SimRun {
 public:
  explicit SimRun(SimDatabase::World world, PaceLimits limits = {})
      : database_(world), limits_(limits) {}

  void Tick() {
    now_ += absl::Seconds(1);
    quiet_ = database_.world().application > 0 ? 0 : quiet_ + 1;
    const SignalBoard board = database_.Board();
    const bool alone = quiet_ >= 3 || (seconds_ == 0 && quiet_ > 0);
    const PaceFacts facts{
        .limits = limits_,
        .pressures = EvaluateSignals(
            board, {.run_id = "run", .alone = alone, .level_age = now_ - state_.changed_at}),
        .alone = alone,
        .others = database_.world().application,
        .now = now_};
    const int before = state_.rung;
    const bool pressed = state_.pressure_seen;
    const PaceDecision decision = DecidePace(facts, state_);
    state_ = decision.state;
    loudest_ = facts.pressures.empty() ? Pressure() : facts.pressures.front();
    if (pressed && state_.pressure_seen && state_.rung > before) {
      EXPECT_GE(now_ - raised_at_, absl::Seconds(10)) << "two increases after the first pressure";
      raised_at_ = now_;
    }
    database_.Step(decision.level);
    ++seconds_;
  }
  void Run(int seconds) {
    for (int i = 0; i < seconds; ++i) Tick();
  }

  SimDatabase& database() { return database_; }
  const PaceState& state() const { return state_; }
  const PaceLimits& limits() const { return limits_; }
  double loudest() const { return loudest_.ratio; }
  // Pressed, and not as slow already as that pressure makes it.
  bool too_fast() const {
    return loudest_.ratio >= 1 && state_.rung > LowestRung(loudest_.slowest, limits_);
  }

 private:
  SimDatabase database_;
  const PaceLimits limits_;
  PaceState state_;
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  absl::Time raised_at_ = absl::InfinitePast();
  Pressure loudest_;
  int quiet_ = 0;
  int seconds_ = 0;
};

// Ticks of pressure and the span of rungs in the minute that begins half a minute from now.
struct Settled {
  int ticks_over = 0;
  int lowest = 1000, highest = 0;
};
Settled AfterHalfAMinute(SimRun& run) {
  run.Run(30);
  Settled settled;
  for (int second = 0; second < 60; ++second) {
    run.Tick();
    settled.ticks_over += run.too_fast() ? 1 : 0;
    settled.lowest = std::min(settled.lowest, run.state().rung);
    settled.highest = std::max(settled.highest, run.state().rung);
  }
  return settled;
}

TEST(PaceSimTest, SettlesWithinHalfAMinuteOfAStepWhateverTheDatabaseIsLike) {
  std::mt19937_64 random(dunlin::testing::Seed());
  std::uniform_real_distribution<double> unit(0, 1);
  for (int trial = 0; trial < 300; ++trial) {
    const double cores = 2 + std::floor(unit(random) * 15);
    SimRun run({.cores = cores,
                .application = cores * 0.3 * unit(random) + 0.1,
                .replay = unit(random) < 0.3 ? 0.2 + unit(random) : 1e9,
                .cold = 1 + 9 * unit(random)},
               {.shards = 1 + static_cast<int>(unit(random) * 16)});
    run.Run(60);
    run.database().world().application = cores * (0.3 + 0.4 * unit(random));
    const Settled settled = AfterHalfAMinute(run);
    // One try in ten seconds may turn out to be too much; it is undone within five.
    EXPECT_LE(settled.ticks_over, 30) << "trial " << trial << " of " << cores << " cores";
  }
}

TEST(PaceSimTest, ASlowReplicaIsFollowedNotFled) {
  SimRun run({.cores = 8, .application = 1, .replay = 0.5}, {.shards = 8});
  run.Run(60);
  const double before = run.database().work_done();
  run.Run(120);
  const double rate = (run.database().work_done() - before) / 120;
  EXPECT_LE(rate, 0.55);
  EXPECT_GE(rate, 0.1);
}

TEST(PaceSimTest, ReturnsAfterCalm) {
  SimRun run({.cores = 8, .application = 0.5});
  run.Run(30);
  EXPECT_EQ(run.state().rung, TopRung(run.limits()));
  run.database().world().application = 12;  // a neighbour takes everything
  run.Run(30);
  EXPECT_LE(run.state().rung, LowestRung(SlowestPace::kOneShard, run.limits()) - 4);
  run.database().world().application = 0.5;
  run.Run(45);
  EXPECT_GE(run.state().rung, LowestRung(SlowestPace::kOneShard, run.limits()))
      << "a shard at full speed again";
  run.Run(75);
  EXPECT_EQ(run.state().rung, TopRung(run.limits()));
}

TEST(PaceSimTest, NothingStarvesUnderAPressureThatOthersMake) {
  SimRun run({.cores = 2, .application = 4});
  run.Run(120);
  const double before = run.database().work_done();
  run.Run(60);
  EXPECT_GT(run.database().work_done(), before);
  EXPECT_EQ(run.state().rung, 1);
}

TEST(PaceSimTest, AShortRunWithoutPressureLosesLittleToTheSlowStart) {
  for (const auto& [application, seconds] : {std::pair(0.0, 60), std::pair(0.2, 240)}) {
    SimRun run({.cores = 16, .application = application});
    run.Run(seconds);
    EXPECT_GE(run.database().work_done(), 0.9 * seconds * 4 * 0.995) << "beside " << application;
  }
}

TEST(PaceSimTest, BesideAnApplicationThatComesAndGoesItIsRightAgainWithinTenSeconds) {
  SimRun run({.cores = 2, .application = 0});
  run.Run(20);
  EXPECT_EQ(run.state().rung, TopRung(run.limits()));
  run.database().world().application = 1;
  run.Run(10);
  EXPECT_LT(run.loudest(), 1) << "harm lasts no longer";
  run.Run(60);
  run.database().world().application = 0;
  run.Run(10);
  EXPECT_EQ(run.state().rung, TopRung(run.limits()));
}

TEST(PaceSimTest, AnApplicationThatComesAfterAPressureOfAnotherKindIsNotRunOver) {
  SimRun run({.cores = 2, .application = 0, .replay = 0.5});
  run.Run(60);
  EXPECT_TRUE(run.state().pressure_seen) << "of the replica, with nobody else there";
  run.database().world().replay = 1e9;
  run.Run(240);
  EXPECT_GT(run.state().rung, FirstRung(run.limits()));
  run.database().world().application = 1;
  run.Tick();
  run.Tick();
  EXPECT_LE(run.state().rung, FirstRung(run.limits()));
  run.Run(8);
  EXPECT_LT(run.loudest(), 1);
}

TEST(PaceSimTest, AnApplicationOnFewCoresLosesNoMoreThanAQuarterAndTheRunGoesOn) {
  SimRun run({.cores = 2, .application = 1});
  run.Run(60);
  double slowdown = 0;
  const double before = run.database().work_done();
  for (int second = 0; second < 300; ++second) {
    run.Tick();
    slowdown += run.database().slowdown() / 300;
  }
  EXPECT_LE(slowdown, 1.25);
  EXPECT_GE(run.database().work_done() - before, 0.16 * 300) << "in seconds of one shard";
}

TEST(PaceControllerTest, AValueThatShowsTheLatestChangeLateIsNotActedOnTwice) {
  const PaceLimits limits{.shards = 1};
  PaceState state{.rung = TopRung(limits)};
  PaceFacts facts{.limits = limits,
                  .pressures = {{.key = "a", .ratio = 1.2, .settles = absl::Seconds(4)}},
                  .now = absl::UnixEpoch() + absl::Hours(1)};
  const auto rungs_down = [&](int seconds) {
    const int before = state.rung;
    for (int second = 0; second < seconds; ++second) {
      facts.now += absl::Seconds(1);
      state = DecidePace(facts, state).state;
    }
    return before - state.rung;
  };
  EXPECT_EQ(rungs_down(4), 1);
  EXPECT_EQ(rungs_down(4), 1);
  facts.pressures[0].ratio = 2;  // far over: whatever it shows
  EXPECT_GE(rungs_down(1), 1);
}

// Seconds until each rise.
std::vector<std::pair<int, int>> RisesWithin(int seconds, PaceFacts facts, PaceState state) {
  facts.now = absl::UnixEpoch() + absl::Hours(1);
  state.changed_at = state.busy_at = facts.now;
  std::vector<std::pair<int, int>> rises;
  for (int second = 1; second <= seconds; ++second) {
    facts.now += absl::Seconds(1);
    const int before = state.rung;
    state = DecidePace(facts, state).state;
    if (state.rung > before) rises.emplace_back(second, state.rung);
  }
  return rises;
}

TEST(PaceControllerTest, BesideBusyOthersEachStepBeyondAnEighthOfTheTimeNeedsTwentySeconds) {
  const PaceFacts busy{.others = 1.4}, hardly{.others = 0.4};
  const PaceState begun{.rung = FirstRung(busy.limits)};
  EXPECT_DOUBLE_EQ(LevelOf(5, busy.limits).duty, 0.125);
  EXPECT_THAT(RisesWithin(50, busy, begun),
              ::testing::ElementsAre(std::pair(3, 5), std::pair(23, 6), std::pair(43, 7)));
  EXPECT_THAT(RisesWithin(8, hardly, begun),
              ::testing::ElementsAre(std::pair(3, 6), std::pair(6, 8)));
  // All of the time, and nobody felt it: there are many cores.
  const PaceState all{.rung = 11};
  EXPECT_DOUBLE_EQ(LevelOf(11, busy.limits).duty, 1);
  EXPECT_THAT(RisesWithin(4, busy, all), ::testing::ElementsAre(std::pair(3, 14)));
  // What was not too much before comes back sooner than what was.
  const PaceState pressed{.rung = 3, .too_much = 8, .pressure_seen = true};
  EXPECT_THAT(RisesWithin(60, busy, pressed),
              ::testing::ElementsAre(std::pair(10, 5), std::pair(20, 6), std::pair(30, 7),
                                     std::pair(50, 8)));
}

std::vector<Pressure> RandomPressures(std::mt19937_64& random) {
  std::uniform_real_distribution<double> ratio(0, 3);
  std::vector<Pressure> pressures;
  for (const SlowestPace slowest :
       {SlowestPace::kStopped, SlowestPace::kTrickle, SlowestPace::kOneShard}) {
    pressures.push_back({.key = "a", .ratio = ratio(random), .slowest = slowest});
  }
  return pressures;
}

TEST(PaceSimTest, MorePressureNeverMeansMoreWork) {
  std::mt19937_64 random(dunlin::testing::Seed());
  std::uniform_real_distribution<double> unit(0, 1);
  const absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  for (int trial = 0; trial < 20'000; ++trial) {
    const PaceLimits limits{.shards = 1 + static_cast<int>(unit(random) * 8)};
    PaceFacts less{.limits = limits,
                   .pressures = RandomPressures(random),
                   .alone = unit(random) < 0.2,
                   .others = unit(random),
                   .slots_busy = unit(random) < 0.8,
                   .now = now};
    PaceFacts more = less;
    for (Pressure& one : more.pressures) one.ratio += unit(random);
    const auto ago = [&](double most) { return now - absl::Seconds(most * unit(random)); };
    const PaceState state{.rung = static_cast<int>(unit(random) * (TopRung(limits) + 1)),
                          .too_much = static_cast<int>(unit(random) * (TopRung(limits) + 1)),
                          .pressure_seen = unit(random) < 0.7,
                          .pressed_alone = unit(random) < 0.5,
                          .was_alone = less.alone,
                          .changed_at = ago(20),
                          .pressed_at = ago(30),
                          .busy_at = ago(20)};
    EXPECT_LE(DecidePace(more, state).state.rung, DecidePace(less, state).state.rung)
        << "trial " << trial;
  }
}

TEST(PaceControllerTest, LevelsAndRungsAreOneToOne) {
  for (const absl::Duration batch_time :
       {absl::Milliseconds(5), absl::Milliseconds(100), absl::Seconds(1)}) {
    const PaceLimits limits{.shards = 6, .batch_time = batch_time};
    for (int rung = 0; rung <= TopRung(limits); ++rung) {
      EXPECT_EQ(RungOf(LevelOf(rung, limits), limits), rung);
    }
    EXPECT_EQ(LevelOf(TopRung(limits), limits), (PaceLevel{.shards = 6, .batch_time = batch_time}));
    EXPECT_EQ(LevelOf(0, limits).shards, 0);
    EXPECT_EQ(LevelOf(LowestRung(SlowestPace::kOneShard, limits), limits),
              (PaceLevel{.shards = 1, .batch_time = batch_time}));
  }
}

TEST(PaceControllerTest, OneShardThenShorterBatchesThenLessOfTheTimeThenNothing) {
  const PaceLimits limits{.shards = 4};
  PaceState state{.rung = TopRung(limits)};
  PaceFacts facts{.limits = limits,
                  .pressures = {{.key = "a", .text = "it is slow", .ratio = 1}},
                  .now = absl::UnixEpoch()};
  std::vector<std::string> texts;
  for (int second = 0; second < 20; ++second) {
    facts.now += absl::Seconds(1);
    const PaceDecision decision = DecidePace(facts, state);
    state = decision.state;
    texts.push_back(decision.level_text);
  }
  EXPECT_THAT(
      texts,
      ::testing::ElementsAre(
          "2 of 4 shards at once", "1 of 4 shards at once",
          "1 of 4 shards at once, batches of 64 ms", "1 of 4 shards at once, batches of 32 ms",
          "1 of 4 shards at once, batches of 16 ms", "1 of 4 shards at once, batches of 8 ms",
          "1 of 4 shards at once, batches of 4 ms", "1 of 4 shards at once, batches of 2 ms",
          "1 of 4 shards at once, batches of 2 ms, 71 % of the time",
          "1 of 4 shards at once, batches of 2 ms, 50 % of the time",
          "1 of 4 shards at once, batches of 2 ms, 35 % of the time",
          "1 of 4 shards at once, batches of 2 ms, 25 % of the time",
          "1 of 4 shards at once, batches of 2 ms, 18 % of the time",
          "1 of 4 shards at once, batches of 2 ms, 12 % of the time",
          "1 of 4 shards at once, batches of 2 ms, 9 % of the time",
          "1 of 4 shards at once, batches of 2 ms, 6 % of the time",
          "1 of 4 shards at once, batches of 2 ms, 4 % of the time",
          "1 of 4 shards at once, batches of 2 ms, 3 % of the time", "stopped until it passes",
          "stopped until it passes"));
}

}  // namespace
}  // namespace dunlin::coordinator
