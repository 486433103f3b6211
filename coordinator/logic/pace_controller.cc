#include "coordinator/logic/pace_controller.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include "common/fault.h"
#include "common/text/duration.h"

namespace dunlin::coordinator {
namespace {

// What a batch takes at once of a core: a session that wakes up meanwhile waits as long for its
// turn. Below it the fixed cost of a transaction is most of a batch.
constexpr absl::Duration kShortestBatch = absl::Milliseconds(2);
// From a thirty-second of the time, which still shows that it goes on, by the square root of two:
// an application on few cores hardly feels a third and suffers from a half.
constexpr int kDutyRungs = 10;
constexpr int kDutyRungsToHalve = 2;
constexpr absl::Duration kTick = absl::Seconds(1);
constexpr absl::Duration kHold = absl::Seconds(10);
constexpr absl::Duration kEase = absl::Seconds(5);
constexpr double kCalm = 0.5;
constexpr double kHigh = 0.8;
constexpr double kOver = 1.0;
constexpr double kFarOver = 2.0;
constexpr int kMostRungsAtOnce = 6;
// Beside an application a step is felt by signals that are means within that time.
constexpr absl::Duration kStartEvery = absl::Seconds(3);
constexpr double kVeryCalm = 0.25;
// Others that have as many transactions open take half of a core: from an eighth of the time on
// they may feel more, and what they do varies by a tenth from second to second, so that it takes
// many to see it.
constexpr double kBusyOthers = 0.5;
constexpr int kFeltRung = kDutyRungs - 5;
constexpr absl::Duration kCautiousEvery = absl::Seconds(20);
constexpr int kStartBatchRungs = 3;

// How often the shortest batch must double to reach the limit.
int BatchRungs(const PaceLimits& limits) {
  int rungs = 0;
  for (absl::Duration batch = kShortestBatch; batch < limits.batch_time; batch *= 2) ++rungs;
  return rungs;
}

int OneShardRung(const PaceLimits& limits) { return 1 + kDutyRungs + BatchRungs(limits); }

double Loudest(const std::vector<Pressure>& pressures) {
  double loudest = 0;
  for (const Pressure& one : pressures) loudest = std::max(loudest, one.ratio);
  return loudest;
}

// Of a run that has just begun beside an application, or given way to one: what does not show that
// yet is of the full speed before, however much it is.
std::vector<Pressure> WithoutStale(const std::vector<Pressure>& pressures,
                                   absl::Duration at_this_pace) {
  std::vector<Pressure> counted;
  for (const Pressure& one : pressures) {
    if (one.settles <= kTick || at_this_pace >= one.settles) counted.push_back(one);
  }
  return counted;
}

// One rung below, but never under what this pressure may do.
int RungBelow(int rung, int lowest, bool halve, const PaceLimits& limits) {
  const int one_shard = OneShardRung(limits);
  int lower = rung - 1;
  if (halve && rung > one_shard) {
    const int shards = rung - one_shard + 1;
    lower = one_shard - 1 + std::max(1, shards / 2);
  }
  return std::max(lower, std::min(rung, lowest));
}

// A value that does not show the latest change yet, `since_change` ago, counts only when it is far
// over, or beside several shards: those go at once.
int RungAfter(const std::vector<Pressure>& pressures, int rung, bool halve,
              absl::Duration since_change, const PaceLimits& limits) {
  int result = rung;
  for (const Pressure& one : pressures) {
    if (one.ratio < (halve ? kOver : kHigh)) continue;
    const bool settling = since_change < one.settles && rung <= OneShardRung(limits);
    if (one.ratio < kFarOver && settling) continue;
    const int steps =
        halve
            ? std::clamp(1 + static_cast<int>(std::floor(kDutyRungsToHalve * std::log2(one.ratio))),
                         1, kMostRungsAtOnce)
            : 1;
    const int lowest = LowestRung(one.slowest, limits);
    int lowered = rung;
    for (int step = 0; step < steps;) {
      step += lowered > OneShardRung(limits) ? kDutyRungsToHalve : 1;
      lowered = RungBelow(lowered, lowest, halve, limits);
    }
    result = std::min(result, lowered);
  }
  return result;
}

// More of the time (twice as much while nothing at all is felt), longer batches, or twice the
// shards.
int RungWhileStarting(int rung, double loudest, const PaceLimits& limits) {
  const int one_shard = OneShardRung(limits);
  const int step = rung > kDutyRungs     ? kStartBatchRungs
                   : loudest < kVeryCalm ? kDutyRungsToHalve
                                         : 1;
  if (rung < one_shard) return std::min(rung + step, one_shard);
  return one_shard - 1 + 2 * (rung - one_shard + 1);
}

// Half way back to what was too much before, then one by one.
int RungAfterCalm(int rung, int too_much) {
  return std::max(rung + 1, rung + (too_much - rung + 1) / 2);
}

// How far up and when, beside others that are busy: not past the rung that they may feel, and from
// there one by one, until it is all of the time: that nobody felt it shows that there are many
// cores.
struct Rise {
  int rung;
  absl::Duration after;  // the latest change
};
Rise RiseBeside(bool busy_others, int rung, Rise wanted) {
  if (!busy_others || rung > kDutyRungs) return wanted;
  if (rung < kFeltRung) return {std::min(wanted.rung, kFeltRung), wanted.after};
  return {std::min(wanted.rung, rung + 1), kCautiousEvery};
}

std::string LevelText(const PaceLevel& level, const PaceLimits& limits) {
  if (level.shards == 0) return "stopped until it passes";
  std::string text = absl::StrCat(level.shards, " of ", limits.shards, " shards at once");
  if (level.batch_time < limits.batch_time)
    absl::StrAppend(&text, ", batches of ",
                    SignalValueText(SignalUnit::kSeconds, absl::ToDoubleSeconds(level.batch_time)));
  if (level.duty < 1)
    absl::StrAppend(&text, absl::StrFormat(", %.0f %% of the time", level.duty * 100));
  return text;
}

// Coarse, so that it is not another text every second for ever.
std::string ForHowLong(absl::Duration lasted) {
  if (lasted < absl::Seconds(1)) return "";
  const absl::Duration unit = lasted < absl::Minutes(1) ? absl::Seconds(1) : absl::Minutes(1);
  return absl::StrCat(", for ", HumanDuration(absl::Trunc(lasted, unit)));
}

}  // namespace

int TopRung(const PaceLimits& limits) { return OneShardRung(limits) + limits.shards - 1; }

// Short batches for a twelfth of the time: what an application on few cores hardly feels.
int FirstRung(const PaceLimits& limits) { return std::min(TopRung(limits), kDutyRungs - 6); }

int LowestRung(SlowestPace slowest, const PaceLimits& limits) {
  switch (slowest) {
    case SlowestPace::kStopped:
      return 0;
    case SlowestPace::kTrickle:
      return 1;
    case SlowestPace::kGentle:
      return FirstRung(limits);
    case SlowestPace::kOneShard:
      return OneShardRung(limits);
  }
  return 0;
}

PaceLevel LevelOf(int rung, const PaceLimits& limits) {
  rung = std::clamp(rung, 0, TopRung(limits));
  PaceLevel level{.shards = rung == 0 ? 0 : 1,
                  .batch_time = std::min(kShortestBatch, limits.batch_time)};
  if (rung <= kDutyRungs) {
    level.duty =
        std::exp2(static_cast<double>(std::max(rung, 1) - 1 - kDutyRungs) / kDutyRungsToHalve);
    return level;
  }
  const int batch_rung = std::min(rung - 1 - kDutyRungs, BatchRungs(limits));
  level.batch_time = std::min(limits.batch_time, kShortestBatch * (1 << batch_rung));
  level.shards = std::max(1, rung - OneShardRung(limits) + 1);
  return level;
}

int RungOf(const PaceLevel& level, const PaceLimits& limits) {
  for (int rung = TopRung(limits); rung > 0; --rung) {
    const PaceLevel other = LevelOf(rung, limits);
    if (other.shards <= level.shards && other.batch_time <= level.batch_time &&
        other.duty <= level.duty) {
      return rung;
    }
  }
  return 0;
}

PaceDecision DecidePace(const PaceFacts& facts, const PaceState& before) {
  PaceState state = before;
  const PaceLimits& limits = facts.limits;
  const int top = TopRung(limits);
  const absl::Duration since_change = facts.now - state.changed_at;
  const bool gives_way = before.was_alone && !facts.alone;
  const bool gave_way = !before.pressure_seen && before.rung == FirstRung(limits);
  const absl::Duration at_this_pace = gives_way  ? absl::ZeroDuration()
                                      : gave_way ? since_change
                                                 : absl::InfiniteDuration();
  const std::vector<Pressure> pressures = WithoutStale(facts.pressures, at_this_pace);
  const double u = Loudest(pressures);
  const bool busy_others = !facts.alone && facts.others > kBusyOthers;
  if (state.rung < 0) state.rung = facts.alone && u < kCalm ? top : FirstRung(limits);
  int rung = std::min(state.rung, top);
  // What was reached, and what was too much, while nobody else was there says nothing about now.
  if (gives_way) {
    rung = std::min(rung, FirstRung(limits));
    state.pressure_seen = false;
    state.too_much = -1;
  }
  if (facts.alone && state.pressure_seen && !state.pressed_alone && u < kCalm) {
    state.pressure_seen = false;  // whoever was harmed has gone
    state.too_much = -1;
  }
  if (u >= kHigh) {
    if (!state.pressure_seen) state.pressed_alone = facts.alone;
    state.pressure_seen = true;
  }
  if (u >= kCalm) state.busy_at = facts.now;
  if (u >= kOver) {
    // One episode = one thing that was too much, however far down it goes.
    if (facts.now - state.pressed_at > kHold) state.too_much = rung;
    state.pressed_at = facts.now;
    if (since_change >= kTick) {
      const int eased =
          since_change >= kEase ? RungAfter(pressures, rung, false, since_change, limits) : rung;
      rung = std::min(eased, RungAfter(pressures, rung, true, since_change, limits));
    }
  } else if (u >= kHigh) {
    if (since_change >= kEase) rung = RungAfter(pressures, rung, false, since_change, limits);
  } else if (u < kCalm && !state.pressure_seen) {
    const Rise rise =
        RiseBeside(busy_others, rung, {RungWhileStarting(rung, u, limits), kStartEvery});
    if (facts.alone) {
      rung = top;
    } else if (since_change >= rise.after && rung == before.rung) {
      rung = rise.rung;
    }
  } else if (u < kCalm && (facts.slots_busy || rung == 0)) {
    Rise rise = RiseBeside(busy_others, rung, {RungAfterCalm(rung, state.too_much), kHold});
    if (rise.rung < state.too_much) rise.after = kHold;  // it was not too much before
    if (since_change >= rise.after && facts.now - state.busy_at >= rise.after) rung = rise.rung;
  }
  const int64_t lowest = DUNLIN_TUNABLE("coordinator.pace.lowest_rung", int64_t{0});
  rung = std::clamp(rung, static_cast<int>(std::min<int64_t>(lowest, top)), top);
  if (rung != before.rung) state.changed_at = facts.now;
  state.rung = rung;
  state.was_alone = facts.alone;

  PaceDecision decision{.state = state, .level = LevelOf(rung, limits)};
  for (const Pressure& one : facts.pressures) {
    if (one.ratio >= kHigh) decision.active.push_back(one);
  }
  if (rung < top) {
    const std::string level = LevelText(decision.level, limits);
    decision.level_text = !decision.active.empty() ? level
                          : state.pressure_seen    ? absl::StrCat("recovers: ", level)
                                                   : absl::StrCat("slow start: ", level);
  }
  return decision;
}

PaceDecision Closed(const PaceLimits& limits, std::string opens) {
  return {.level = LevelOf(0, limits), .level_text = std::move(opens)};
}

std::string ThrottleText(const PaceDecision& decision, const std::vector<ReasonSince>& since,
                         absl::Time now) {
  std::vector<std::string> parts;
  for (const Pressure& one : decision.active) {
    const auto known = std::find_if(since.begin(), since.end(), [&](const ReasonSince& reason) {
      return reason.key == one.key;
    });
    parts.push_back(
        absl::StrCat(one.text, known == since.end() ? "" : ForHowLong(now - known->since)));
  }
  if (!decision.level_text.empty()) parts.push_back(decision.level_text);
  return absl::StrJoin(parts, "; ");
}

}  // namespace dunlin::coordinator
