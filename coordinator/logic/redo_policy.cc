#include "coordinator/logic/redo_policy.h"

namespace dunlin::coordinator {

RedoDecision DecideRedo(const RedoFacts& facts) {
  // PAUSED too: it may go on, and then two of them would.
  if (IsLive(facts.state)) return RedoDecision::kRefuseInWork;
  // What was done elsewhere has changed rows, though not by this run; of what was undone those that
  // the undo has not (yet) put back.
  const bool undone_completely =
      facts.kind == RunKind::kUndo && facts.state == RunState::kFinished && facts.rows_left == 0;
  const bool changed_rows =
      facts.kind == RunKind::kApply ? facts.any_batch_committed : !undone_completely;
  if (changed_rows && !facts.idempotent && !facts.apply_twice) return RedoDecision::kRefuseTwice;
  return RedoDecision::kCreate;
}

}  // namespace dunlin::coordinator
