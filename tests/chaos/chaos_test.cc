// Real processes on real servers, killed, stopped, cut off, slowed down and misled while an audit
// trigger counts what happens to each row. The faults are drawn from a seed that is printed; with
// the same DUNLIN_SEED the same faults come in the same order. It ends when half a minute has
// passed and DUNLIN_CHAOS_FAULTS have been injected, DUNLIN_CHAOS_STRUCK of them inside an open
// batch transaction or its COMMIT, and fails when that takes longer than DUNLIN_CHAOS_MINUTES.
// Between two faults there are up to DUNLIN_CHAOS_PAUSE milliseconds. script/chaos sets all of
// them.
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/chaos/chaos_faults.h"
#include "tests/chaos/chaos_world.h"
#include "tests/testlib/seed.h"

namespace dunlin::testing {
namespace {

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  int value = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &value)) std::abort();
  return value;
}

std::string Since(absl::Duration began, absl::Duration now) {
  return absl::FormatDuration(absl::Trunc(now - began, absl::Seconds(1)));
}

TEST(Chaos, I1_I3_I4_I12_EveryRowChangesOnceWhateverDies) {
  const uint64_t seed = Seed();
  // At full pace, whatever the signals say: this is about what dies, and they would all but stop
  // the runs.
  setenv("DUNLIN_TUNE", "coordinator.pace.lowest_rung=100", 1);
  std::mt19937_64 pauses(seed + 1);
  ChaosWorld world(seed);
  const int goal = FromEnvironment("DUNLIN_CHAOS_FAULTS", 20);
  const int struck_goal = FromEnvironment("DUNLIN_CHAOS_STRUCK", 6);
  const auto pause = static_cast<uint64_t>(FromEnvironment("DUNLIN_CHAOS_PAUSE", 900));
  ChaosFaults faults(world, seed, absl::Milliseconds(pause));
  const absl::Duration began = world.clock.Monotonic();
  const absl::Duration at_least = began + absl::Seconds(30);
  const absl::Duration until = began + absl::Minutes(FromEnvironment("DUNLIN_CHAOS_MINUTES", 8));
  const auto enough = [&] {
    return world.clock.Monotonic() >= at_least && faults.injected() >= goal &&
           faults.struck() >= struck_goal;
  };
  const auto end_some = [&] { faults.EndSome(false); };
  world.StartRound(end_some);
  std::string wrong;
  int told = 0;
  while (wrong.empty() && world.clock.Monotonic() < until && !enough()) {
    if (world.RoundFinished()) {
      faults.FreeDisk();  // the audit begins anew in a new file
      wrong = world.CheckRound();
      if (wrong.empty()) world.StartRound(end_some);
    }
    if (wrong.empty()) wrong = world.LookAfterLocal(true);
    faults.InjectNext();
    world.clock.SleepFor(absl::Milliseconds(pauses() % pause), {});  // faults also come in bursts
    faults.EndSome(false);
    if (wrong.empty()) wrong = world.NeedsPerson();
    if (faults.injected() / 50 > told) {
      told = faults.injected() / 50;
      std::cout << "chaos: " << faults.injected() << " faults, " << faults.struck()
                << " inside a batch, " << world.rounds() << " rounds, "
                << Since(began, world.clock.Monotonic()) << std::endl;
    }
  }
  faults.EndSome(true);
  const bool ended = wrong.empty() && Eventually(absl::Minutes(3), [&] {
                       wrong = world.LookAfterLocal(false);
                       return !wrong.empty() || (world.local == nullptr && world.RoundFinished());
                     });
  if (ended && wrong.empty()) wrong = absl::StrCat(world.CheckRound(), world.CheckApplication());
  EXPECT_TRUE(ended) << world.Describe();
  EXPECT_EQ(wrong, "") << world.Describe();
  std::cout << "chaos: " << world.rounds() << " rounds of two runs and " << world.local_rounds()
            << " of dunlin local in " << Since(began, world.clock.Monotonic()) << "; "
            << faults.Report();
  EXPECT_GE(faults.injected(), goal);
  EXPECT_GE(faults.struck(), struck_goal);
}

}  // namespace
}  // namespace dunlin::testing
