#include "coordinator/logic/redo_policy.h"

namespace dunlin::coordinator {

RedoDecision DecideRedo(const RedoFacts& facts) {
  // PAUSED too: it may go on, and then two of them would.
  if (IsLive(facts.state)) return RedoDecision::kRefuseInWork;
  // What was done elsewhere has changed rows, though not by this run.
  const bool changed_rows = facts.any_batch_committed || facts.kind == RunKind::kBaseline;
  if (changed_rows && !facts.idempotent && !facts.apply_twice) return RedoDecision::kRefuseTwice;
  return RedoDecision::kCreate;
}

}  // namespace dunlin::coordinator
