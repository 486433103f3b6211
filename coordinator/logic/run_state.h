#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace dunlin::coordinator {

enum class RunState {
  kPending,
  kPlanning,
  kRunning,
  kPausing,
  kPaused,
  kFinalizing,
  kFinished,
  kCancelling,
  kCancelled,
  kFailed,
};

// "PENDING" …: as the store keeps it and the CLI prints it.
std::string ToText(RunState state);
std::optional<RunState> RunStateFromText(absl::string_view text);

// What a run is for. "apply" …: as the store keeps it.
enum class RunKind { kApply, kBaseline, kUndo };
std::string ToText(RunKind kind);
std::optional<RunKind> RunKindFromText(absl::string_view text);

// Why the edge from one state to another exists; empty = there is none. The whole life of a run is
// this table.
absl::string_view TransitionReason(RunState from, RunState to);
inline bool MayChange(RunState from, RunState to) { return !TransitionReason(from, to).empty(); }

// Not over: FINISHED, CANCELLED and FAILED are (the latter two may be resumed).
bool IsLive(RunState state);
// May agents hold leases of it, other than to give them back?
bool MayWork(RunState state);

}  // namespace dunlin::coordinator
