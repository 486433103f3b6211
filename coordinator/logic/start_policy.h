#pragma once

#include <optional>
#include <string>

#include "coordinator/logic/run_state.h"

namespace dunlin::coordinator {

// What is known of a migration on a target when somebody wants to start it there.
struct StartFacts {
  std::optional<RunState> state;  // of its newest run; absent = it never had one
  bool same_digest = false;       // as the file at hand
  bool any_batch_committed = false;
  std::string superseded_by;  // the migration that stands in for it there; empty = none
};

enum class StartDecision {
  kCreate,
  kKnown,    // it has a run: nothing is changed
  kReplace,  // the edited file takes the place of one that never changed a row
  kRefuseFrozen,
  kRefuseSuperseded,
};

// Pure. A migration runs once on a target; a definition that has changed rows is frozen (I9).
StartDecision DecideStart(const StartFacts& facts);

// Whether a migration may be superseded now: not while it is in work.
bool MayBeSuperseded(RunState state);

}  // namespace dunlin::coordinator
