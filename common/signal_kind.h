// What is measured on a target to tell whether Dunlin does harm, and where each signal becomes
// pressure unless a migration file (`on_pressure`) says otherwise. Pure data.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace dunlin {

enum class SignalKind {
  kBlockedSessions,
  kProbeLatency,
  kProbeSlowdown,
  kOpenTransactions,
  kLockWaits,
  kReplicaLag,
  kReplicaLagBytes,
  kSlotLag,
  kSlotLagBytes,
  kSlotLoss,
  kWalRate,
  kArchiveFailure,
  kArchiveBacklog,
  kOldestTransaction,
  kPreparedTransaction,
  kDeadRows,
  kActiveSessions,
  kCheck,
};

// Of a value and its limit. kFactor: a multiple of what the signal itself says is normal. kSql: a
// query that answers true or false; its limit is one false.
enum class SignalUnit { kCount, kSeconds, kBytes, kBytesPerSecond, kFactor, kSql };

// How far a signal alone may slow a run down. Harm that goes on as long as Dunlin does stops it;
// what may come from others alone leaves a trickle, so that no run starves; what chance makes too
// leaves the pace that a run begins with; what only makes each change dearer for a while leaves one
// shard.
enum class SlowestPace { kStopped, kTrickle, kGentle, kOneShard };

struct SignalInfo {
  SignalKind kind;
  const char* name;  // in files, protocols and outputs
  SignalUnit unit;
  double limit;  // infinity = none by default
  SlowestPace slowest;
};

// In the order of SignalKind.
std::span<const SignalInfo> AllSignals();
const SignalInfo& InfoOf(SignalKind kind);
std::optional<SignalKind> SignalFromName(absl::string_view name);

// "7.4 s", "1.2 GB", "12": a value or limit for people.
std::string SignalValueText(SignalUnit unit, double value);

}  // namespace dunlin
