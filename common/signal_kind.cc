#include "common/signal_kind.h"

#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

#include "common/text/bytes.h"
#include "common/text/duration.h"

namespace dunlin {
namespace {

constexpr double kNone = std::numeric_limits<double>::infinity();
constexpr double kGigabyte = 1e9;

using enum SignalKind;
using enum SlowestPace;

constexpr std::array kSignals = {
    // One is twice the limit: the direct measure of harm.
    SignalInfo{kBlockedSessions, "blocked_sessions", SignalUnit::kCount, 0.5, kStopped},
    // A saturated CPU shows here, and not in locks; three times what is normal is felt.
    SignalInfo{kProbeLatency, "probe_latency", SignalUnit::kFactor, 3, kTrickle},
    // Over the same read while Dunlin rests: what the application loses by Dunlin's work.
    SignalInfo{kProbeSlowdown, "probe_slowdown", SignalUnit::kFactor, 1.25, kTrickle},
    // As many more are open at once as each takes longer.
    SignalInfo{kOpenTransactions, "open_transactions", SignalUnit::kFactor, 1.08, kTrickle},
    // A few sessions always wait for one another for a moment.
    SignalInfo{kLockWaits, "lock_waits", SignalUnit::kCount, 10, kTrickle},
    SignalInfo{kReplicaLag, "replica_lag", SignalUnit::kSeconds, 5, kStopped},
    SignalInfo{kReplicaLagBytes, "replica_lag_bytes", SignalUnit::kBytes, kGigabyte, kStopped},
    SignalInfo{kSlotLag, "slot_lag", SignalUnit::kSeconds, 30, kStopped},
    // What a forgotten slot keeps on disk.
    SignalInfo{kSlotLagBytes, "slot_lag_bytes", SignalUnit::kBytes, 10 * kGigabyte, kStopped},
    // Share of max_slot_wal_keep_size that is used up.
    SignalInfo{kSlotLoss, "slot_loss", SignalUnit::kFactor, 0.8, kStopped},
    SignalInfo{kWalRate, "wal_rate", SignalUnit::kBytesPerSecond, kNone, kStopped},
    SignalInfo{kArchiveFailure, "archive_failure", SignalUnit::kCount, 1, kStopped},
    SignalInfo{kArchiveBacklog, "archive_backlog", SignalUnit::kBytes, kGigabyte, kStopped},
    // Vacuum can clean nothing that is younger, and each update of a row walks over its dead
    // versions.
    SignalInfo{kOldestTransaction, "oldest_transaction", SignalUnit::kSeconds, 60, kOneShard},
    SignalInfo{kPreparedTransaction, "prepared_transaction", SignalUnit::kSeconds, 300, kOneShard},
    // Dead rows for each live one. A backfill of a whole table leaves about one.
    SignalInfo{kDeadRows, "dead_rows", SignalUnit::kFactor, 4, kOneShard},
    // Share of max_connections.
    SignalInfo{kActiveSessions, "active_sessions", SignalUnit::kCount, kNone, kTrickle},
    SignalInfo{kCheck, "check", SignalUnit::kSql, 1, kStopped},
};

}  // namespace

std::span<const SignalInfo> AllSignals() { return kSignals; }

const SignalInfo& InfoOf(SignalKind kind) { return kSignals[static_cast<size_t>(kind)]; }

std::optional<SignalKind> SignalFromName(absl::string_view name) {
  for (const SignalInfo& info : kSignals) {
    if (name == info.name) return info.kind;
  }
  return std::nullopt;
}

std::string SignalValueText(SignalUnit unit, double value) {
  switch (unit) {
    case SignalUnit::kCount:
      return absl::StrFormat("%.0f", std::floor(value));
    case SignalUnit::kSeconds:
      if (value >= 60) return HumanDuration(absl::Seconds(std::floor(value)));
      if (value < 1) return absl::StrFormat("%.3g ms", value * 1000);
      return absl::StrFormat("%.3g s", value);
    case SignalUnit::kBytes:
      return HumanBytes(value);
    case SignalUnit::kBytesPerSecond:
      return absl::StrCat(HumanBytes(value), "/s");
    case SignalUnit::kFactor:
      return absl::StrFormat("%.3g", value);
    case SignalUnit::kSql:
      return value == 0 ? "true" : "false";
  }
  return "";
}

}  // namespace dunlin
