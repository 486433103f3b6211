#include "coordinator/logic/pressure.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "common/text/bytes.h"
#include "common/text/duration.h"

namespace dunlin::coordinator {
namespace {

// Below a millisecond a factor of three is the scheduler's, and nobody feels it.
constexpr double kShortestProbeLimit = 0.001;
// `typical` follows a change within that.
constexpr absl::Duration kProbeSettles = absl::Seconds(20);
// The mean of some seconds.
constexpr absl::Duration kMeanSettles = absl::Seconds(3);
// That of the latest second, and how long it takes to get here.
constexpr absl::Duration kMedianSettles = absl::Seconds(2);
// A mean that is so far over its limit is not so by chance.
constexpr double kBeyondChance = 4;
// So many more are chance.
constexpr double kFewTransactions = 0.02;
// As a limit: a file may ask for less, which could not be told from chance.
constexpr double kSmallestSlowdown = 0.05;
// Neither faster nor slower.
constexpr double kHoldRatio = 0.6;

std::string PlainNumber(double value) { return absl::StrFormat("%.0f", value); }

std::string Sessions(double count, const char* one, const char* many) {
  return absl::StrCat(PlainNumber(count), count == 1 ? one : many);
}

// What is said of a value, without its limit.
std::string What(const SignalSample& sample, const SignalLimits& limits) {
  const std::string value = SignalValueText(InfoOf(sample.kind).unit, sample.value);
  const std::string& of = sample.subject;
  switch (sample.kind) {
    case SignalKind::kBlockedSessions:
      return absl::StrCat(Sessions(sample.value, " session waits", " sessions wait"),
                          " for more than 100 ms for locks that Dunlin holds");
    case SignalKind::kProbeLatency:
      return absl::StrCat("a one-row read takes ",
                          SignalValueText(SignalUnit::kSeconds, sample.value));
    case SignalKind::kProbeSlowdown:
      return absl::StrFormat("one-row reads take %.2f times as long for Dunlin's work",
                             sample.value);
    case SignalKind::kOpenTransactions:
      return absl::StrFormat("others have %.2g transactions open at once", sample.value);
    case SignalKind::kLockWaits:
      return absl::StrCat(Sessions(sample.value, " session waits", " sessions wait"), " for locks");
    case SignalKind::kReplicaLag:
      return of.empty() ? "no replica is connected" : absl::StrCat(of, " is ", value, " behind");
    case SignalKind::kReplicaLagBytes:
      return of.empty() ? "no replica is connected"
                        : absl::StrCat(of, " is ", value, " of WAL behind");
    case SignalKind::kSlotLag:
      return of.empty() ? "no logical slot is in use"
                        : absl::StrCat("slot ", of, " is ", value, " behind");
    case SignalKind::kSlotLagBytes:
      return of.empty() ? "there is no slot"
                        : absl::StrCat("slot ", of, " keeps ", value, " of WAL");
    case SignalKind::kSlotLoss:
      return of.empty() ? "no slot can be lost"
                        : absl::StrFormat(
                              "slot %s is about to be lost: %.0f %% of "
                              "max_slot_wal_keep_size is used up",
                              of, sample.value * 100);
    case SignalKind::kWalRate:
      return absl::StrCat("WAL is written at ", value);
    case SignalKind::kArchiveFailure:
      return sample.value == 0 ? "archiving works"
                               : absl::StrCat("archiving WAL fails", of.empty() ? "" : " at ", of,
                                              " (archive_command); the server's log says why");
    case SignalKind::kArchiveBacklog:
      return absl::StrCat(value, " of WAL wait to be archived");
    case SignalKind::kOldestTransaction:
      return of.empty() ? "no other transaction is open"
                        : absl::StrCat("a transaction of ", of, " is open for ", value);
    case SignalKind::kPreparedTransaction:
      return of.empty() ? "no prepared transaction is open"
                        : absl::StrCat("prepared transaction ", of, " is open for ", value);
    case SignalKind::kDeadRows:
      return of.empty() ? "no table is in work"
                        : absl::StrCat(of, " has ", value, " dead rows for each live one");
    case SignalKind::kActiveSessions:
      return absl::StrCat(Sessions(sample.value, " session is", " sessions are"),
                          " in a transaction");
    case SignalKind::kCheck:
      return absl::StrCat("the file's check answers ", value, ": ", limits.check_sql);
  }
  return "";
}

// A neighbour that takes the cores still shows against what the probe was of late.
double NormalProbe(const SignalSample& sample, bool alone) {
  return alone ? std::max(sample.baseline, sample.typical) : sample.baseline;
}

std::string LimitText(const SignalSample& sample, double limit, bool alone) {
  if (std::isinf(limit)) return "";
  switch (sample.kind) {
    case SignalKind::kProbeLatency:
      return absl::StrCat(" (limit ", SignalValueText(SignalUnit::kSeconds, limit), ", normal is ",
                          SignalValueText(SignalUnit::kSeconds, NormalProbe(sample, alone)), ")");
    case SignalKind::kOpenTransactions:
      return absl::StrFormat(" (limit %.3g, normal is %.3g)", limit, sample.baseline);
    case SignalKind::kSlotLoss:
      return absl::StrFormat(" (limit %.0f %%)", limit * 100);
    case SignalKind::kArchiveFailure:
    case SignalKind::kCheck:
      return "";
    default:
      return absl::StrCat(" (limit ", SignalValueText(InfoOf(sample.kind).unit, limit), ")");
  }
}

Pressure DeadSignal(const SignalSample& sample) {
  const SignalInfo& info = InfoOf(sample.kind);
  return {.key = absl::StrCat("dead/", info.name),
          .text = absl::StrCat(info.name, " cannot be measured",
                               sample.lost ? " any more" : ", and the file names it", ": ",
                               sample.not_measured),
          .ratio = kDeadSignalRatio,
          .slowest = info.slowest};
}

bool IsMean(SignalKind kind) {
  return kind == SignalKind::kProbeSlowdown || kind == SignalKind::kOpenTransactions;
}

bool Concerns(const SignalSample& sample, const PressureOfRun& run) {
  if (sample.kind == SignalKind::kCheck) return sample.subject == run.run_id;
  if (sample.kind == SignalKind::kDeadRows) return run.tables.contains(sample.subject);
  // Whom would it harm?
  if (IsMean(sample.kind)) return !run.alone;
  if (sample.kind == SignalKind::kProbeLatency) return !run.alone || run.level_age > kProbeSettles;
  return true;
}

// Beside an application nothing rises before it is known what is normal for it.
void AddUnknownNormal(const SignalBoard& board, const PressureOfRun& run,
                      std::vector<Pressure>& pressures) {
  const bool on =
      !std::isinf(SignalLimitOf({.kind = SignalKind::kOpenTransactions}, run.limits, run.alone));
  const auto measured = [&](SignalKind kind) {
    return std::any_of(board.samples.begin(), board.samples.end(),
                       [kind](const SignalSample& sample) { return sample.kind == kind; });
  };
  if (run.alone || !on || !measured(SignalKind::kProbeLatency) ||
      measured(SignalKind::kOpenTransactions))
    return;
  pressures.push_back({.key = "unknown/open_transactions",
                       .text = "it is not known yet what is normal for the application",
                       .ratio = kHoldRatio,
                       .slowest = SlowestPace::kTrickle});
}

// A file's own check that nobody answers is as dead as one that fails.
void AddMissingCheck(const SignalBoard& board, const PressureOfRun& run,
                     std::vector<Pressure>& pressures) {
  if (run.limits.check_sql.empty() || board.samples.empty()) return;
  const bool answered =
      std::any_of(board.samples.begin(), board.samples.end(), [&](const SignalSample& sample) {
        return sample.kind == SignalKind::kCheck && sample.subject == run.run_id;
      });
  if (answered) return;
  pressures.push_back(
      {.key = "dead/check",
       .text = "the file's check has not been answered yet",
       .ratio = run.working_for > kSignalsExpireAfter ? kDeadSignalRatio : kHoldRatio,
       .slowest = SlowestPace::kStopped});
}

}  // namespace

double SignalLimitOf(const SignalSample& sample, const SignalLimits& limits, bool alone) {
  const auto named = limits.named.find(sample.kind);
  const double limit = named != limits.named.end() ? named->second : InfoOf(sample.kind).limit;
  if (std::isinf(limit)) return limit;
  switch (sample.kind) {
    case SignalKind::kProbeLatency:
      return std::max(kShortestProbeLimit, limit * NormalProbe(sample, alone));
    case SignalKind::kOpenTransactions:
      return std::max(1 + kSmallestSlowdown, limit) * sample.baseline + kFewTransactions;
    case SignalKind::kBlockedSessions:
      return std::max(InfoOf(sample.kind).limit, limit);
    default:
      return limit;
  }
}

double SignalRatio(const SignalSample& sample, double limit) {
  // 1 is no slowdown at all.
  if (sample.kind == SignalKind::kProbeSlowdown)
    return (sample.value - 1) / std::max(kSmallestSlowdown, limit - 1);
  if (sample.kind == SignalKind::kOpenTransactions)
    return std::max(0.0, (sample.value - sample.baseline) / (limit - sample.baseline));
  if (limit > 0) return sample.value / limit;
  return sample.value > 0 ? 2.0 : 0.0;
}

std::string SignalText(const SignalSample& sample, const SignalLimits& limits, bool alone) {
  if (!sample.not_measured.empty())
    return absl::StrCat(InfoOf(sample.kind).name, ": ", sample.not_measured);
  return absl::StrCat(What(sample, limits),
                      LimitText(sample, SignalLimitOf(sample, limits, alone), alone));
}

std::vector<Pressure> EvaluateSignals(const SignalBoard& board, const PressureOfRun& run) {
  std::vector<Pressure> pressures;
  if (run.workers_backing_off > 0) {
    pressures.push_back({.key = "backs_off",
                         .text = absl::StrCat(run.workers_backing_off, " worker",
                                              run.workers_backing_off == 1 ? " backs" : "s back",
                                              " off from locks or timeouts"),
                         .ratio = 1,
                         .slowest = SlowestPace::kTrickle});
  }
  if (board.age > kSignalsExpireAfter) {
    pressures.push_back(
        {.key = "stale",
         .text = absl::StrCat("nothing has been measured on the target for ",
                              HumanDuration(absl::Trunc(board.age, absl::Seconds(1))), " (limit ",
                              HumanDuration(kSignalsExpireAfter), ")"),
         .ratio = kDeadSignalRatio,
         .slowest = SlowestPace::kStopped});
    return pressures;
  }
  for (const SignalSample& sample : board.samples) {
    if (!Concerns(sample, run)) continue;
    const SignalInfo& info = InfoOf(sample.kind);
    const auto named = run.limits.named.find(sample.kind);
    const double limit = SignalLimitOf(sample, run.limits, run.alone);
    if (std::isinf(limit)) continue;
    if (!sample.not_measured.empty()) {
      const bool asked_for = named != run.limits.named.end() || sample.kind == SignalKind::kCheck;
      if (sample.lost || asked_for) pressures.push_back(DeadSignal(sample));
      continue;
    }
    pressures.push_back({.key = absl::StrCat(info.name, "/", sample.subject),
                         .text = SignalText(sample, run.limits, run.alone),
                         .ratio = SignalRatio(sample, limit),
                         .slowest = info.slowest});
    if (IsMean(sample.kind)) {
      pressures.back().settles = kMeanSettles;
      if (pressures.back().ratio < kBeyondChance) pressures.back().slowest = SlowestPace::kGentle;
    }
    if (sample.kind == SignalKind::kProbeLatency) pressures.back().settles = kMedianSettles;
  }
  AddMissingCheck(board, run, pressures);
  AddUnknownNormal(board, run, pressures);
  std::stable_sort(pressures.begin(), pressures.end(),
                   [](const Pressure& a, const Pressure& b) { return a.ratio > b.ratio; });
  return pressures;
}

void MarkLost(const std::vector<SignalSample>& before, std::vector<SignalSample>& after) {
  for (SignalSample& sample : after) {
    if (sample.not_measured.empty()) continue;
    sample.lost = std::any_of(before.begin(), before.end(), [&](const SignalSample& earlier) {
      return earlier.kind == sample.kind && (earlier.not_measured.empty() || earlier.lost);
    });
  }
}

}  // namespace dunlin::coordinator
