// Which server each target is at, and what a change of it means for the runs there.
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

#include "common/fault.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/logic/failover.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

constexpr absl::string_view kMovedPayload = "dunlin/target-moved";

ServerIdentity ServerFrom(const agent_pb::TargetIdentity& seen) {
  return {.system_identifier = seen.system_identifier(), .timeline = seen.timeline()};
}

ServerIdentity ServerFrom(const pg::Result& row) {
  if (row.rows.empty()) return {};
  return {.system_identifier = row.Text(0, 0), .timeline = row.Int(0, 1)};
}

// One run that is not FINISHED. What it holds is gone; before anything else of it the ledger is
// read.
absl::Status MarkAfterFailover(Transaction& tx, RunEditor& run, const std::string& what) {
  DUNLIN_RETURN_IF_ERROR(RevokeLeases(tx, run, "", "failover"));
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kDropOpenTasks, {run.id}));
  run.reconcile_due = run.reconcile_due || run.planned_steps > 0;
  if (IsLive(run.state)) {
    DUNLIN_RETURN_IF_ERROR(run.Emit({.kind = "failover", .reason = what}));
    if (run.MayHoldLeases() && run.reconcile_due)
      DUNLIN_RETURN_IF_ERROR(run.SetReason(absl::StrCat(what, ": the ledger is read again")));
  }
  DUNLIN_RETURN_IF_ERROR(run.Settle());
  return run.Save();
}

// Another server may be the right one or not: a person looks.
absl::Status StopOnOtherServer(Transaction& tx, RunEditor& run, const std::string& what) {
  DUNLIN_RETURN_IF_ERROR(RevokeLeases(tx, run, "", "another server"));
  run.reconcile_due = run.reconcile_due || run.planned_steps > 0;
  if (IsLive(run.state)) DUNLIN_RETURN_IF_ERROR(run.PauseWithError(what));
  DUNLIN_RETURN_IF_ERROR(run.Settle());
  return run.Save();
}

}  // namespace

absl::StatusOr<IdentityVerdict> CheckTarget(Transaction& tx, const std::string& target,
                                            const agent_pb::TargetIdentity& seen) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result known, tx.Query(sql::kPeekTarget, {target}));
  const IdentityVerdict verdict = CompareIdentity(ServerFrom(known), ServerFrom(seen));
  switch (verdict) {
    case IdentityVerdict::kUnreachable:
    case IdentityVerdict::kKnown:
    case IdentityVerdict::kLeftBehind:
      return verdict;
    case IdentityVerdict::kFirst:
    case IdentityVerdict::kFailover:
    case IdentityVerdict::kOtherServer:
      break;
  }
  agent_pb::TargetIdentity moved = seen;
  moved.set_target(target);
  absl::Status status = absl::AbortedError("the target is at another server than was known");
  status.SetPayload(kMovedPayload, absl::Cord(moved.SerializeAsString()));
  return status;
}

std::optional<agent_pb::TargetIdentity> MovedTargetOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kMovedPayload);
  agent_pb::TargetIdentity moved;
  if (!payload || !moved.ParseFromString(std::string(*payload))) return std::nullopt;
  return moved;
}

absl::StatusOr<bool> CheckReporter(Transaction& tx, const RunEditor& run,
                                   const agent_pb::TargetIdentity& from) {
  DUNLIN_ASSIGN_OR_RETURN(const IdentityVerdict verdict, CheckTarget(tx, run.target, from));
  if (verdict == IdentityVerdict::kUnreachable)
    return absl::InvalidArgumentError("a report must say from which server of the target it comes");
  return verdict == IdentityVerdict::kKnown;
}

absl::StatusOr<std::vector<std::string>> ReachableTargets(
    Transaction& tx, const google::protobuf::RepeatedPtrField<agent_pb::TargetIdentity>& targets) {
  std::vector<std::string> reachable;
  for (const agent_pb::TargetIdentity& seen : targets) {
    DUNLIN_ASSIGN_OR_RETURN(const IdentityVerdict verdict, CheckTarget(tx, seen.target(), seen));
    if (verdict == IdentityVerdict::kKnown) reachable.push_back(seen.target());
  }
  return reachable;
}

absl::Status Store::NoteTarget(const agent_pb::TargetIdentity& seen) {
  const std::string& target = seen.target();
  const std::vector<pg::Value> row = {target, seen.system_identifier(),
                                      absl::StrCat(seen.timeline())};
  return InTransaction([&](Transaction& tx) -> absl::Status {
    // The runs in the order of their ids, then the target: as everywhere.
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kRunsOfTarget, {target}));
    std::vector<RunEditor> runs;
    for (size_t i = 0; i < found.rows.size(); ++i) {
      DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, found.Text(i, 0)));
      if (run.state != RunState::kFinished) runs.push_back(std::move(run));
    }
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kAddTarget, {target}));
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result locked, tx.Query(sql::kLockTarget, {target}));
    const ServerIdentity known = ServerFrom(locked);
    switch (CompareIdentity(known, ServerFrom(seen))) {
      case IdentityVerdict::kUnreachable:
      case IdentityVerdict::kKnown:  // another agent was quicker
      case IdentityVerdict::kLeftBehind:
        return absl::OkStatus();
      case IdentityVerdict::kFirst:
        return tx.Run(sql::kUpsertTarget, row);
      case IdentityVerdict::kFailover: {
        const std::string what = absl::StrCat("target ", target, " has failed over (timeline ",
                                              known.timeline, " → ", seen.timeline(), ")");
        LOG(WARNING) << Event("target_failed_over")
                            .Kv("target", target)
                            .Kv("from", known.timeline)
                            .Kv("to", seen.timeline());
        for (RunEditor& run : runs) DUNLIN_RETURN_IF_ERROR(MarkAfterFailover(tx, run, what));
        // A run that finished just before has no claim left that would notice. The sweep makes
        // their tasks.
        if (!DUNLIN_MUTANT("failover_unnoticed"))
          DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kMarkFinishedRuns, {target, "true"}));
        break;
      }
      case IdentityVerdict::kOtherServer: {
        const std::string what = absl::StrCat(
            "target ", target, " is another PostgreSQL server than before (system identifier ",
            known.system_identifier, ", now ", seen.system_identifier(),
            "): restored, upgraded, or the wrong one? Look where the agents connect to; when it is "
            "right, resume: its ledger is read first");
        LOG(WARNING) << Event("target_is_another_server")
                            .Kv("target", target)
                            .Kv("from", known.system_identifier)
                            .Kv("to", seen.system_identifier());
        for (RunEditor& run : runs) DUNLIN_RETURN_IF_ERROR(StopOnOtherServer(tx, run, what));
        DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kMarkFinishedRuns, {target, "false"}));
        break;
      }
    }
    return tx.Run(sql::kUpsertTarget, row);
  });
}

}  // namespace dunlin::coordinator
