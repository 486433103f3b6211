#pragma once

#include <string>

#include "absl/strings/string_view.h"

#include "coordinator/logic/run_state.h"

namespace dunlin::coordinator {

// A run that the store knows of a target that it takes over, beside what the ledger there says.
struct AdoptFacts {
  RunState state = RunState::kPending;
  bool undo = false;   // it takes another run back
  bool begun = false;  // it was planned, recorded or finished: it should have a record
  bool in_ledger = false;
  std::string outcome;          // there: "open", or how it ended
  bool name_in_ledger = false;  // some run of its migration has a record there
};
enum class AdoptVerdict {
  kKeep,
  kFinished,    // the ledger says so
  kReadAgain,   // comes to rest; the ledger is read before anything else of it
  kStandAside,  // counts as if it had never been: the ledger's run of the migration is the one
  kNoRecord,    // ends, and a person decides whether it has to be done again
};
AdoptVerdict DecideAdopt(const AdoptFacts& facts);

// The state of a run that the store learns from the ledger. PAUSED: nothing goes on by itself.
RunState AdoptedState(absl::string_view outcome, bool undo);

}  // namespace dunlin::coordinator
