#include "coordinator/logic/run_advance.h"

#include "common/fault.h"

namespace dunlin::coordinator {
namespace {

using Kind = RunStepDecision::Kind;

RunStepDecision Change(RunState state) { return {.kind = Kind::kChangeState, .state = state}; }
RunStepDecision Create(TaskKind task, bool finish = false) {
  return {.kind = Kind::kCreateTask, .task = task, .finish = finish};
}
RunStepDecision Phase(FinalizePhase phase) {
  return {.kind = Kind::kSetFinalizePhase, .phase = phase};
}

RunStepDecision WhilePending(const RunFacts& facts) {
  // Also behind its preflight: that may have waited for as long.
  if (!facts.waits_for.empty()) return {.kind = Kind::kShowWaiting};
  if (facts.preflight_passed) {
    return Change(facts.planned_steps > 0 || facts.reconcile_due ? RunState::kRunning
                                                                 : RunState::kPlanning);
  }
  if (!facts.task_open) return Create(facts.baseline ? TaskKind::kBaseline : TaskKind::kPreflight);
  return {};
}

RunStepDecision WhileRunning(const RunFacts& facts) {
  if (facts.planned_steps <= facts.step) {
    return facts.task_open ? RunStepDecision{} : Create(TaskKind::kPlan);
  }
  if (facts.quarantine_due && !facts.task_open) return Create(TaskKind::kQuarantine);
  if (facts.undone_shards > 0 || facts.quarantine_due) return {};
  // The next step may rest on this one, so it does not begin without a person's word.
  if (facts.quarantined > 0) return {.kind = Kind::kPauseQuarantined};
  if (facts.step + 1 < facts.steps) return {.kind = Kind::kNextStep};
  return Change(RunState::kFinalizing);
}

RunStepDecision WhileFinalizing(const RunFacts& facts) {
  if (facts.task_open) return {};
  switch (facts.finalize_phase) {
    case FinalizePhase::kCoverage:
      return facts.has_verify ? Create(TaskKind::kFinalize, false) : Phase(FinalizePhase::kFinish);
    case FinalizePhase::kVerify:
      if (facts.verify_tasks == 0) return {.kind = Kind::kCreateVerifyTasks};
      if (facts.verify_found != 0 && facts.verify_found != facts.accepted_rows)
        return {.kind = Kind::kPauseVerifyFound};
      return Phase(FinalizePhase::kFinish);
    case FinalizePhase::kFinish:
      return Create(TaskKind::kFinalize, true);
  }
  return {};
}

}  // namespace

std::string ToText(TaskKind kind) {
  switch (kind) {
    case TaskKind::kPreflight:
      return "preflight";
    case TaskKind::kPlan:
      return "plan";
    case TaskKind::kVerify:
      return "verify";
    case TaskKind::kFinalize:
      return "finalize";
    case TaskKind::kReconcile:
      return "reconcile";
    case TaskKind::kQuarantine:
      return "quarantine";
    case TaskKind::kBaseline:
      return "baseline";
  }
  return "unknown";
}

RunStepDecision DecideNext(const RunFacts& facts) {
  switch (facts.state) {
    case RunState::kPending:
      return WhilePending(facts);
    case RunState::kPlanning:
    case RunState::kRunning:
    case RunState::kFinalizing:
      if (facts.reconcile_due) {
        // Nothing else of the run is granted before; what is held now runs on under its fences.
        return facts.task_open ? RunStepDecision{} : Create(TaskKind::kReconcile);
      }
      if (facts.state == RunState::kFinalizing) return WhileFinalizing(facts);
      if (facts.state == RunState::kPlanning && facts.planned_steps > facts.step)
        return Change(RunState::kRunning);
      return WhileRunning(facts);
    case RunState::kPausing:
      if (DUNLIN_MUTANT("paused_unconfirmed")) return Change(RunState::kPaused);
      return facts.open_leases == 0 ? Change(RunState::kPaused) : RunStepDecision{};
    case RunState::kCancelling:
      return facts.open_leases == 0 ? Change(RunState::kCancelled) : RunStepDecision{};
    case RunState::kFinished:
      // Its target has failed over since, and may have lost the end of it.
      return facts.reconcile_due && !facts.task_open ? Create(TaskKind::kReconcile)
                                                     : RunStepDecision{};
    case RunState::kPaused:
    case RunState::kCancelled:
    case RunState::kFailed:
      return {};
  }
  return {};
}

}  // namespace dunlin::coordinator
