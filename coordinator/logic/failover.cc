#include "coordinator/logic/failover.h"

namespace dunlin::coordinator {

IdentityVerdict CompareIdentity(const ServerIdentity& known, const ServerIdentity& seen) {
  if (seen.system_identifier.empty()) return IdentityVerdict::kUnreachable;
  if (known.system_identifier.empty()) return IdentityVerdict::kFirst;
  if (seen.system_identifier != known.system_identifier) return IdentityVerdict::kOtherServer;
  if (seen.timeline == known.timeline) return IdentityVerdict::kKnown;
  return seen.timeline > known.timeline ? IdentityVerdict::kFailover : IdentityVerdict::kLeftBehind;
}

ReconcileVerdict DecideReconcile(const ReconcileFacts& facts) {
  if (facts.run_known && facts.finished) return ReconcileVerdict::kFinished;
  const bool lost = facts.planned && (!facts.run_known || facts.step_lost);
  if (lost && facts.planned_on.system_identifier != facts.now.system_identifier &&
      !facts.planned_on.system_identifier.empty()) {
    return ReconcileVerdict::kWrongServer;
  }
  if (lost && facts.planned_on.timeline >= facts.now.timeline) return ReconcileVerdict::kRecordLost;
  return facts.run_known ? ReconcileVerdict::kTakeOver : ReconcileVerdict::kPlanAgain;
}

}  // namespace dunlin::coordinator
