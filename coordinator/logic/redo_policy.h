#pragma once

#include <cstdint>

#include "coordinator/logic/run_state.h"

namespace dunlin::coordinator {

// What is known of a run that somebody wants to do again.
struct RedoFacts {
  RunState state = RunState::kFinished;
  RunKind kind = RunKind::kApply;
  bool any_batch_committed = false;
  int64_t rows_left = 0;     // of an undo: what it did not put back
  bool idempotent = false;   // its file says so
  bool apply_twice = false;  // the operator does
};

enum class RedoDecision {
  kCreate,
  kRefuseInWork,
  kRefuseTwice,  // rows would be changed a second time
};

// Pure. A run whose statements are not idempotent is done again only on an operator's word.
RedoDecision DecideRedo(const RedoFacts& facts);

}  // namespace dunlin::coordinator
