// From what was measured on a target to what it means for one run. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"

#include "common/signal_kind.h"

namespace dunlin::coordinator {

struct SignalSample {
  SignalKind kind = SignalKind::kProbeLatency;
  // What of: a replica's name, a slot, a table, a session; a run's id for kCheck. May be empty.
  std::string subject;
  double value = 0;
  // kProbeLatency, kActiveSessions: what is normal, or the most there can be.
  double baseline = 0;
  // kProbeLatency: what it was of late, Dunlin's own work included.
  double typical = 0;
  // Why it is not measured, and what would help; empty = it is.
  std::string not_measured;
  // Not measured, and it was before.
  bool lost = false;
};

// Everything that is known of a target at a moment.
struct SignalBoard {
  std::vector<SignalSample> samples;
  // An agent has the task to measure, and its last word is so old. Negative = nobody has it.
  absl::Duration age = -absl::Seconds(1);
};

// What a migration file says of signals.
struct SignalLimits {
  // Infinity = switched off.
  std::map<SignalKind, double> named;
  std::string check_sql;  // for messages; empty = none
};

// One reason to slow down, or not to speed up: `ratio` = value over limit.
struct Pressure {
  std::string key;  // which signal of what: the same while it lasts
  std::string text;
  double ratio = 0;
  SlowestPace slowest = SlowestPace::kStopped;
  // How long until the value shows what a change of pace has changed.
  absl::Duration settles = absl::Seconds(1);
};

// A run's own side of it.
struct PressureOfRun {
  std::string run_id;
  std::set<std::string> tables;  // as in the file; others' dead rows are not its concern
  SignalLimits limits;
  // Nobody but Dunlin is at work on the target: a core that it keeps busy by itself harms nobody.
  bool alone = false;
  // Since what it may do has changed: until then a core that it has just begun to use looks like
  // harm.
  absl::Duration level_age = absl::InfiniteDuration();
  // Workers that back off from a lock or a timeout at present.
  int workers_backing_off = 0;
  // Since it began to work (again): whoever measures needs a moment to learn of its check.
  absl::Duration working_for = absl::InfiniteDuration();
};

// A sample older than this is missing.
inline constexpr absl::Duration kSignalsExpireAfter = absl::Seconds(5);
// A signal that cannot be read any more, or is named in the file and cannot be read, counts as
// much.
inline constexpr double kDeadSignalRatio = 1;

// Every signal with a limit, the loudest first.
std::vector<Pressure> EvaluateSignals(const SignalBoard& board, const PressureOfRun& run);

// What `after` replaces: signals that were measured before and are not any more are marked as lost.
void MarkLost(const std::vector<SignalSample>& before, std::vector<SignalSample>& after);

// "a one-row read takes 3.1 ms (limit 1.5 ms, …)" whatever its ratio.
std::string SignalText(const SignalSample& sample, const SignalLimits& limits, bool alone = false);
// The limit of a sample, in its own unit; infinity = none.
double SignalLimitOf(const SignalSample& sample, const SignalLimits& limits, bool alone = false);
// Of a measured sample: 1 = at the limit.
double SignalRatio(const SignalSample& sample, double limit);

}  // namespace dunlin::coordinator
