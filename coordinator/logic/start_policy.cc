#include "coordinator/logic/start_policy.h"

namespace dunlin::coordinator {

StartDecision DecideStart(const StartFacts& facts) {
  if (!facts.state) {
    return facts.superseded_by.empty() ? StartDecision::kCreate : StartDecision::kRefuseSuperseded;
  }
  if (facts.same_digest || !facts.superseded_by.empty()) return StartDecision::kKnown;
  if (facts.any_batch_committed || *facts.state == RunState::kFinished)
    return StartDecision::kRefuseFrozen;
  return StartDecision::kReplace;
}

bool MayBeSuperseded(RunState state) { return !IsLive(state) || state == RunState::kPaused; }

}  // namespace dunlin::coordinator
