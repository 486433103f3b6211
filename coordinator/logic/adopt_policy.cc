#include "coordinator/logic/adopt_policy.h"

namespace dunlin::coordinator {

AdoptVerdict DecideAdopt(const AdoptFacts& facts) {
  if (!facts.in_ledger) {
    if (facts.name_in_ledger) return AdoptVerdict::kStandAside;
    return facts.begun ? AdoptVerdict::kNoRecord : AdoptVerdict::kKeep;
  }
  if (facts.outcome == "open") return AdoptVerdict::kReadAgain;
  const bool replaced = facts.outcome == "superseded" || facts.outcome == "undone";
  if (!IsLive(facts.state) && (replaced || facts.state == RunState::kFinished))
    return AdoptVerdict::kKeep;
  return replaced ? AdoptVerdict::kStandAside : AdoptVerdict::kReadAgain;
}

RunState AdoptedState(absl::string_view outcome, bool undo) {
  if (outcome == "open") return RunState::kPaused;
  const bool finished =
      outcome == "finished" || outcome == "baseline" || (undo && outcome == "undone");
  return finished ? RunState::kFinished : RunState::kCancelled;
}

}  // namespace dunlin::coordinator
