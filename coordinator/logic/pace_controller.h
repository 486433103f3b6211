// How much of a run is in work: from pressure to a level. Pure: the same numbers give the same
// answer.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"

#include "coordinator/logic/pressure.h"

namespace dunlin::coordinator {

// The most that a run may do.
struct PaceLimits {
  int shards = 4;
  absl::Duration batch_time = absl::Milliseconds(100);
};

// What it may do now. Slowing down goes by shards first, then by the length of a batch, then by the
// share of time that batches take, then it stops (`shards` = 0): at equal speed short batches harm
// far less, and shards beside each other most.
struct PaceLevel {
  int shards = 1;
  absl::Duration batch_time = absl::Milliseconds(100);
  double duty = 1;  // of one shard's time

  friend bool operator==(const PaceLevel&, const PaceLevel&) = default;
};

// Levels are rungs of a ladder, 0 = stopped. Each rung below one shard halves the batch,
// or takes the duty by the square root of two.
int RungOf(const PaceLevel& level, const PaceLimits& limits);
PaceLevel LevelOf(int rung, const PaceLimits& limits);
int TopRung(const PaceLimits& limits);
// Where a run begins while the application is at work.
int FirstRung(const PaceLimits& limits);
// As far down as pressure of this kind may go.
int LowestRung(SlowestPace slowest, const PaceLimits& limits);

// What is remembered from tick to tick; times by one clock, the store's.
struct PaceState {
  int rung = -1;  // -1 = not begun
  // After pressure: the rung that was too much. Half way back to it at once, beyond it step by
  // step.
  int too_much = -1;
  bool pressure_seen = false;
  // The pressure came while nobody but Dunlin was at work: it would come again.
  bool pressed_alone = false;
  bool was_alone = false;
  absl::Time changed_at = absl::InfinitePast();
  absl::Time pressed_at = absl::InfinitePast();  // latest tick with a ratio of 1 or more
  absl::Time busy_at = absl::InfinitePast();     // latest tick with a ratio of 0.5 or more
};

struct PaceFacts {
  PaceLimits limits;
  std::vector<Pressure> pressures;
  // Nobody but Dunlin has been at work on the target for a while.
  bool alone = false;
  // Transactions that others have open at once when Dunlin leaves them alone; 0 = not known.
  double others = 0;
  // All that may be in work is: more would be used.
  bool slots_busy = true;
  absl::Time now;
};

struct PaceDecision {
  PaceState state;
  PaceLevel level;
  // Reasons that hold it back or keep it from rising, the loudest first: ratio of 0.8 and more.
  std::vector<Pressure> active;
  // What the level is when it is below the limit: "1 of 4 shards, batches of 25 ms"; else empty.
  std::string level_text;
};

// u = the largest ratio. Before the first pressure: the limit at once while alone, else each three
// seconds of calm more of the time (twice as much while u is under 0.25), then longer batches, then
// twice the shards. Beside others that are busy more than an eighth of the time is felt on few
// cores, and shows within many seconds only: each step from there to all of the time needs twenty.
// u >= 1:
// one rung down in the smallest case, shards halved, more rungs for a larger u, at once and every
// second (for means: once they can show a step); then nothing rises for ten seconds. 0.8 to 1: one
// shard or rung down each five seconds. 0.5 to 0.8: holds. Less for ten seconds, with all slots
// busy: up.
PaceDecision DecidePace(const PaceFacts& facts, const PaceState& before);

// While no window of the file is open: nothing is in work, and what was learned is of no use later.
PaceDecision Closed(const PaceLimits& limits, std::string opens);

// `active` with how long each has lasted, and the level: what status, watch and the database show.
struct ReasonSince {
  std::string key;
  absl::Time since;
};
std::string ThrottleText(const PaceDecision& decision, const std::vector<ReasonSince>& since,
                         absl::Time now);

}  // namespace dunlin::coordinator
