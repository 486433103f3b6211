#include "coordinator/logic/adopt_policy.h"

namespace dunlin::coordinator {

AdoptVerdict DecideAdopt(const AdoptFacts& facts) {
  if (!facts.in_ledger) {
    if (facts.name_in_ledger) return AdoptVerdict::kStandAside;
    return facts.begun ? AdoptVerdict::kNoRecord : AdoptVerdict::kKeep;
  }
  switch (AdoptedState(facts.outcome, facts.undo)) {
    case RunState::kFinished:
      return facts.state == RunState::kFinished ? AdoptVerdict::kKeep : AdoptVerdict::kFinished;
    case RunState::kPaused:
      return AdoptVerdict::kReadAgain;
    default:  // another took its place
      return IsLive(facts.state) ? AdoptVerdict::kStandAside : AdoptVerdict::kKeep;
  }
}

RunState AdoptedState(absl::string_view outcome, bool undo) {
  if (outcome == "open") return RunState::kPaused;
  const bool finished =
      outcome == "finished" || outcome == "baseline" || (undo && outcome == "undone");
  return finished ? RunState::kFinished : RunState::kCancelled;
}

}  // namespace dunlin::coordinator
