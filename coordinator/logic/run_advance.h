#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/logic/run_state.h"

namespace dunlin::coordinator {

enum class TaskKind { kPreflight, kPlan, kVerify, kFinalize, kReconcile, kQuarantine, kBaseline };
std::string ToText(TaskKind kind);

// How far FINALIZING has come.
enum class FinalizePhase { kCoverage = 0, kVerify = 1, kFinish = 2 };

// Everything that decides what happens next to a run, read under its row lock.
struct RunFacts {
  RunState state = RunState::kPending;
  int steps = 1;
  int step = 0;               // current, 0-based
  int planned_steps = 0;      // steps whose shards are in the store
  int64_t undone_shards = 0;  // of the current step
  int64_t open_leases = 0;    // shards and tasks
  bool reconcile_due = false;
  bool task_open = false;  // a task of any kind is ready or leased
  bool has_verify = false;
  FinalizePhase finalize_phase = FinalizePhase::kCoverage;
  int64_t verify_found = 0;  // sum over done verify tasks
  int64_t verify_tasks = 0;  // of this pass, in any state
  int64_t quarantined = 0;   // keys that are set aside and that nobody has accepted
  int64_t accepted_rows = 0;
  bool quarantine_due = false;  // an operator asked to try them again, or to accept them
  std::string waits_for;        // PENDING: a dependency or a missing agent; empty = nothing
  bool preflight_passed = false;
  bool baseline = false;  // only its record is to be written
};

// What to do; applied, facts are read again and the question asked anew until nothing is left to
// do.
struct RunStepDecision {
  enum class Kind {
    kNothing,
    kChangeState,
    kCreateTask,
    kCreateVerifyTasks,
    kNextStep,
    kSetFinalizePhase,
    kPauseVerifyFound,
    kPauseQuarantined,
    kShowWaiting,
  };
  Kind kind = Kind::kNothing;
  RunState state = RunState::kPending;
  TaskKind task = TaskKind::kPreflight;
  bool finish = false;
  FinalizePhase phase = FinalizePhase::kCoverage;
};

// Pure.
RunStepDecision DecideNext(const RunFacts& facts);

}  // namespace dunlin::coordinator
