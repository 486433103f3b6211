#include "coordinator/logic/run_state.h"

#include <array>

namespace dunlin::coordinator {
namespace {

struct Name {
  RunState state;
  const char* text;
};
constexpr std::array<Name, 10> kNames = {{{RunState::kPending, "PENDING"},
                                          {RunState::kPlanning, "PLANNING"},
                                          {RunState::kRunning, "RUNNING"},
                                          {RunState::kPausing, "PAUSING"},
                                          {RunState::kPaused, "PAUSED"},
                                          {RunState::kFinalizing, "FINALIZING"},
                                          {RunState::kFinished, "FINISHED"},
                                          {RunState::kCancelling, "CANCELLING"},
                                          {RunState::kCancelled, "CANCELLED"},
                                          {RunState::kFailed, "FAILED"}}};

struct Edge {
  RunState from;
  RunState to;
  const char* reason;
};
using enum RunState;
constexpr Edge kEdges[] = {
    {kPending, kPlanning, "the preflight passed"},
    {kPending, kRunning, "the preflight passed; it was planned before"},
    {kPending, kPausing, "an operator paused it"},
    {kPending, kCancelling, "an operator cancelled it"},
    {kPending, kFailed, "the definition cannot run here"},
    {kPending, kFinished, "the target has its finish row"},
    {kPlanning, kRunning, "its shards are planned"},
    {kPlanning, kPausing, "an operator or a problem paused it"},
    {kPlanning, kCancelling, "an operator cancelled it"},
    {kPlanning, kFailed, "the definition cannot run here"},
    {kPlanning, kFinished, "the ledger says that it is finished"},
    {kRunning, kFinalizing, "all shards of all steps are done"},
    {kRunning, kPausing, "an operator or a problem paused it"},
    {kRunning, kCancelling, "an operator cancelled it"},
    {kRunning, kFailed, "a statement cannot run"},
    {kRunning, kPlanning, "the ledger was lost with a failover"},
    {kRunning, kFinished, "the ledger says that it is finished"},
    {kFinalizing, kFinished, "the finish row is written"},
    {kFinalizing, kRunning, "the ledger has shards that are not done"},
    {kFinalizing, kPlanning, "the ledger was lost with a failover"},
    {kFinalizing, kPausing, "an operator or verify paused it"},
    {kFinalizing, kCancelling, "an operator cancelled it"},
    {kFinalizing, kFailed, "a statement cannot run"},
    {kPausing, kPaused, "nothing of it is running any more"},
    {kPausing, kCancelling, "an operator cancelled it"},
    {kPausing, kFailed, "a statement cannot run"},
    {kPausing, kPending, "an operator resumed it"},
    {kPausing, kFinished, "the finish row was being written"},
    {kPaused, kPending, "an operator resumed it"},
    {kPaused, kCancelling, "an operator cancelled it"},
    {kCancelling, kCancelled, "nothing of it is running any more"},
    {kCancelling, kFinished, "the finish row was being written"},
    {kCancelled, kPending, "an operator resumed it"},
    {kFailed, kPending, "an operator resumed it"},
    {kFailed, kCancelling, "an operator cancelled it"},
    {kPaused, kFinished, "the ledger says that it is finished"},
    {kCancelled, kFinished, "the ledger says that it is finished"},
    {kFailed, kCancelled, "its file was replaced"},
    {kFailed, kFinished, "the finish row was being written"},
    // A finish is for ever but where the target itself lost it.
    {kFinished, kRunning, "the target failed over and has lost the end of it"},
    {kFinished, kPlanning, "the target failed over and has lost all of it"},
    {kFinished, kFailed, "the target has lost its record"},
};

}  // namespace

std::string ToText(RunState state) {
  for (const Name& name : kNames) {
    if (name.state == state) return name.text;
  }
  return "UNKNOWN";
}

std::optional<RunState> RunStateFromText(absl::string_view text) {
  for (const Name& name : kNames) {
    if (text == name.text) return name.state;
  }
  return std::nullopt;
}

std::string ToText(RunKind kind) {
  switch (kind) {
    case RunKind::kApply:
      return "apply";
    case RunKind::kBaseline:
      return "baseline";
    case RunKind::kUndo:
      return "undo";
  }
  return "unknown";
}

std::optional<RunKind> RunKindFromText(absl::string_view text) {
  for (const RunKind kind : {RunKind::kApply, RunKind::kBaseline, RunKind::kUndo}) {
    if (text == ToText(kind)) return kind;
  }
  return std::nullopt;
}

absl::string_view TransitionReason(RunState from, RunState to) {
  for (const Edge& edge : kEdges) {
    if (edge.from == from && edge.to == to) return edge.reason;
  }
  return "";
}

bool IsLive(RunState state) {
  return state != kFinished && state != kCancelled && state != kFailed;
}

bool MayWork(RunState state) {
  return state == kPending || state == kPlanning || state == kRunning || state == kFinalizing;
}

}  // namespace dunlin::coordinator
