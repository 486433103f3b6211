#pragma once

#include <string>

#include "coordinator/logic/run_state.h"

namespace dunlin::coordinator {

// What is known of a run that somebody wants to take back.
struct UndoFacts {
  std::string migration;
  RunState state = RunState::kFinished;
  RunKind kind = RunKind::kApply;
  bool any_batch_committed = true;
  bool forgotten = false;        // its before-images are dropped
  std::string why_not_undoable;  // of its definition; empty = it says how
};

// Why it cannot be taken back, and what to do instead; empty = it can. Pure.
std::string WhyNoUndo(const UndoFacts& facts);

}  // namespace dunlin::coordinator
