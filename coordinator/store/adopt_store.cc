// Taking a target over from its ledger: the store was lost, another drove it before, or the
// database was restored.
#include <map>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "common/log.h"
#include "common/migration/parser.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/logic/adopt_policy.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

constexpr size_t kRunsPerQuestion = 100;

// The row, locked: who takes the target over, and how far that is.
struct Adoption {
  std::string target, operator_name, reason, peer, former;
  std::vector<std::string> pending;

  RunEditor::EventText Event(const std::string& kind) const {
    return {.kind = kind,
            .actor = operator_name,
            .reason = reason,
            .peer = peer,
            .old_value = former.empty() ? "" : absl::StrCat("of store ", former)};
  }
};

absl::StatusOr<Adoption> LockAdoption(Transaction& tx, const std::string& target) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result row, tx.Query(sql::kLockAdoption, {target}));
  if (row.rows.empty()) return absl::DataLossError("an adoption that nobody has asked for");
  Adoption adoption{.target = target,
                    .operator_name = row.Text(0, 0),
                    .reason = row.Text(0, 1),
                    .peer = row.Text(0, 2),
                    .former = row.Text(0, 3)};
  DUNLIN_RETURN_IF_ERROR(ArrayToColumns(row.rows[0][4], adoption.pending));
  return adoption;
}

absl::Status ReadAgain(Transaction& tx, RunEditor& run, const Adoption& adoption) {
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kDropOpenTasks, {run.id}));
  run.reconcile_due = true;
  if (run.state == RunState::kFinished)
    DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kRunning, adoption.Event("")));
  if (MayChange(run.state, RunState::kPausing))
    DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kPausing, adoption.Event("")));
  run.reason = absl::StrCat(
      "target ", run.target,
      " was adopted; look at the run, then go on from the ledger: dunlin resume ", run.migration);
  DUNLIN_RETURN_IF_ERROR(run.Settle());
  return run.Save();
}

absl::Status Finish(RunEditor& run, const Adoption& adoption) {
  run.reconcile_due = false;
  DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kFinished, adoption.Event("")));
  return run.Save();
}

absl::Status End(RunEditor& run, const Adoption& adoption, const std::string& why) {
  RunEditor::EventText text = adoption.Event("");
  text.reason = why;
  if (run.state == RunState::kFinished)
    DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kFailed, text));
  for (const RunState to : {RunState::kCancelling, RunState::kCancelled}) {
    if (MayChange(run.state, to)) DUNLIN_RETURN_IF_ERROR(run.ChangeState(to, text));
  }
  run.reason = why;
  run.error.clear();
  // Whoever resumes it all the same begins with what the ledger says then.
  run.reconcile_due = run.planned_steps > 0;
  return run.Save();
}

// One run that the store knows already.
absl::Status BringInLine(Transaction& tx, const std::string& id, const Adoption& adoption,
                         const std::map<std::string, std::string>& outcomes,
                         const std::set<std::string>& names) {
  DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
  const auto there = outcomes.find(id);
  const AdoptFacts facts{.state = run.state,
                         .undo = run.kind == RunKind::kUndo,
                         .begun = run.planned_steps > 0 || run.state == RunState::kFinished,
                         .in_ledger = there != outcomes.end(),
                         .outcome = there == outcomes.end() ? "" : there->second,
                         .name_in_ledger = names.contains(run.migration)};
  const AdoptVerdict verdict = DecideAdopt(facts);
  if (verdict == AdoptVerdict::kKeep) return absl::OkStatus();
  DUNLIN_RETURN_IF_ERROR(RevokeLeases(tx, run, "", "the target was adopted"));
  DUNLIN_RETURN_IF_ERROR(run.Emit(adoption.Event("run_adopted")));
  switch (verdict) {
    case AdoptVerdict::kKeep:
      break;
    case AdoptVerdict::kFinished:
      return Finish(run, adoption);
    case AdoptVerdict::kReadAgain:
      return ReadAgain(tx, run, adoption);
    case AdoptVerdict::kStandAside:
      DUNLIN_RETURN_IF_ERROR(End(run, adoption, "the run of the adopted ledger is the one"));
      return tx.Run(sql::kMarkVoid, {run.id});
    case AdoptVerdict::kNoRecord:
      return End(
          run, adoption,
          absl::StrCat("the ledger of ", run.target,
                       " has no record of it. If the database was restored from before it, do "
                       "it again: dunlin redo ",
                       run.migration,
                       " --apply-twice. If only schema dunlin was lost, put that back and adopt "
                       "the target again"));
  }
  return absl::OkStatus();
}

absl::Status Learn(Transaction& tx, const Adoption& adoption,
                   const agent_pb::ReadRunsResult::Run& seen) {
  if (DigestOf(seen.definition()) != seen.digest()) {
    return absl::DataLossError(absl::StrCat("the ledger's definition of ", seen.migration(),
                                            " does not match the digest beside it"));
  }
  DUNLIN_ASSIGN_OR_RETURN(const Definition definition,
                          ParseMigrationOrError(seen.migration() + ".yaml", seen.definition()));
  const bool undo = !seen.undoes_run_id().empty();
  const RunState state = AdoptedState(seen.outcome(), undo);
  const RunKind kind = undo                           ? RunKind::kUndo
                       : seen.outcome() == "baseline" ? RunKind::kBaseline
                                                      : RunKind::kApply;
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result inserted,
      tx.Query(sql::kInsertAdoptedRun,
               {seen.run_id(),
                seen.migration(),
                adoption.target,
                seen.digest(),
                absl::BytesToHexString(seen.definition()),
                seen.parameters(),
                ToText(state),
                adoption.operator_name,
                absl::StrCat(definition.steps.size()),
                absl::StrCat(definition.limits.concurrency),
                absl::StrCat(definition.limits.rows_per_second),
                absl::StrCat(absl::ToInt64Milliseconds(definition.limits.batch_time)),
                absl::StrCat(absl::ToInt64Milliseconds(definition.limits.pause)),
                seen.supersedes(),
                definition.critical ? "true" : "false",
                ToText(kind),
                seen.undoes_run_id(),
                seen.note(),
                seen.started_at(),
                absl::StrCat(seen.finish_age_seconds()),
                absl::StrCat(seen.task_epoch()),
                absl::StrCat(seen.rows_left()),
                seen.forgotten() ? "true" : "false",
                absl::StrCat(seen.rows_total()),
                state != RunState::kPaused || seen.rows_changed() > 0 ? "true" : "false"}));
  if (inserted.rows.empty()) return absl::OkStatus();  // by an earlier try
  DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, seen.run_id()));
  RunEditor::EventText event = adoption.Event("run_adopted");
  event.new_value = absl::StrCat(ToText(state), ", ", seen.rows_changed(),
                                 " rows changed, outcome ", seen.outcome(), " in the ledger");
  DUNLIN_RETURN_IF_ERROR(run.Emit(event));
  if (state == RunState::kPaused) {
    run.reason = absl::StrCat("taken over from the ledger of ", adoption.target,
                              "; look at it, then go on: dunlin resume ", seen.migration());
  } else if (state == RunState::kCancelled) {
    run.reason = absl::StrCat(seen.outcome(), " before this store took the target over");
  } else {
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kMarkConfirmed, {run.id}));
  }
  return run.Save();
}

absl::Status Fail(Transaction& tx, const std::string& target, const std::string& why) {
  LOG(WARNING) << Event("adoption_failed").Kv("target", target).Kv("why", why);
  return tx.Run(sql::kEndAdoption, {target, why});
}

}  // namespace

absl::Status Store::AskForRuns(Transaction& tx, const std::string& target,
                               const std::vector<std::string>& pending) {
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kSetPending, {target, pg::EncodeTextArray(pending)}));
  if (pending.empty()) return tx.Run(sql::kEndAdoption, {target, ""});
  agent_pb::TargetTask question;
  for (size_t i = 0; i < std::min(pending.size(), kRunsPerQuestion); ++i)
    question.mutable_read_runs()->add_run_ids(pending[i]);
  return AskTarget(tx, target, absl::StrCat("read runs ", pending[0]), question);
}

absl::Status Store::ApplyAdopted(Transaction& tx, const std::string& target,
                                 const agent_pb::CompleteTargetTaskRequest& answer) {
  DUNLIN_ASSIGN_OR_RETURN(Adoption adoption, LockAdoption(tx, target));
  if (!answer.has_adopt_target()) return Fail(tx, target, answer.problem().message());
  agent_pb::AdoptTargetResult result = answer.adopt_target();
  DUNLIN_RETURN_IF_ERROR(LoadStoreId(tx));
  {
    MutexLock lock(mutex_);
    if (result.former_store_id() == store_id_) {  // it was this store's already
      result.clear_former_store_id();
      result.clear_former_store_name();
    }
  }
  DUNLIN_RETURN_IF_ERROR(
      tx.Run(sql::kSetFormerStore, {target, result.former_store_id(), result.former_store_name()}));
  adoption.former = result.former_store_name();
  std::map<std::string, std::string> outcomes;
  std::set<std::string> names;
  for (const auto& run : result.runs()) {
    outcomes[run.run_id()] = run.outcome();
    names.insert(run.migration());
  }
  // In the order of their ids, as everywhere.
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result known, tx.Query(sql::kAllRunsOfTarget, {target}));
  std::set<std::string> ids;
  for (size_t row = 0; row < known.rows.size(); ++row) {
    ids.insert(known.Text(row, 0));
    if (!known.Bool(row, 1)) {
      DUNLIN_RETURN_IF_ERROR(BringInLine(tx, known.Text(row, 0), adoption, outcomes, names));
    }
  }
  std::vector<std::string> unknown;
  for (const auto& run : result.runs()) {
    if (!ids.contains(run.run_id())) unknown.push_back(run.run_id());
  }
  LOG(INFO) << Event("target_adopted")
                   .Kv("target", target)
                   .Kv("former_store", result.former_store_id())
                   .Kv("by", adoption.operator_name)
                   .Kv("runs_unknown", unknown.size());
  return AskForRuns(tx, target, unknown);
}

absl::Status Store::ApplyReadRuns(Transaction& tx, const std::string& target,
                                  const agent_pb::CompleteTargetTaskRequest& answer) {
  DUNLIN_ASSIGN_OR_RETURN(const Adoption adoption, LockAdoption(tx, target));
  if (!answer.has_read_runs()) return Fail(tx, target, answer.problem().message());
  if (answer.read_runs().runs().empty())
    return Fail(tx, target, "runs that the ledger has listed are not there any more");
  std::set<std::string> learned;
  for (const auto& run : answer.read_runs().runs()) {
    const absl::Status status = Learn(tx, adoption, run);
    if (absl::IsDataLoss(status) || absl::IsInvalidArgument(status))
      return Fail(tx, target, std::string(status.message()));
    DUNLIN_RETURN_IF_ERROR(status);
    learned.insert(run.run_id());
  }
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kCountLearned, {target, absl::StrCat(learned.size())}));
  std::vector<std::string> pending;
  for (const std::string& id : adoption.pending) {
    if (!learned.contains(id)) pending.push_back(id);
  }
  return AskForRuns(tx, target, pending);
}

absl::StatusOr<pb::AdoptTargetResponse> Store::AdoptTarget(const pb::AdoptTargetRequest& request,
                                                           const Caller& caller) {
  return Idempotent<pb::AdoptTargetRequest, pb::AdoptTargetResponse>(
      request, [&](Transaction& tx, pb::AdoptTargetResponse& response) -> absl::Status {
        DUNLIN_RETURN_IF_ERROR(RequireAgent(tx, request.target()));
        DUNLIN_RETURN_IF_ERROR(
            tx.Run(sql::kBeginAdoption,
                   {request.target(), request.operator_name(), request.reason(), caller.peer}));
        agent_pb::TargetTask question;
        question.mutable_adopt_target()->set_operator_name(request.operator_name());
        question.mutable_adopt_target()->set_reason(request.reason());
        DUNLIN_RETURN_IF_ERROR(AskTarget(tx, request.target(),
                                         absl::StrCat("adopt ", request.request_id()), question));
        return ReadAdoption(tx, request.target(), response.mutable_adoption());
      });
}

absl::StatusOr<pb::GetAdoptionResponse> Store::GetAdoption(const pb::GetAdoptionRequest& request) {
  pb::GetAdoptionResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) {
        return ReadAdoption(tx, request.target(), response.mutable_adoption());
      },
      true));
  return response;
}

absl::Status Store::ReadAdoption(Transaction& tx, const std::string& target, pb::Adoption* out) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result row, tx.Query(sql::kReadAdoption, {target}));
  if (row.rows.empty())
    return absl::NotFoundError(absl::StrCat("target ", target, " was never adopted by this store"));
  out->set_target(target);
  out->set_operator_name(row.Text(0, 0));
  out->set_reason(row.Text(0, 1));
  out->set_former_store_id(row.Text(0, 2));
  out->set_former_store_name(row.Text(0, 3));
  out->set_runs_learned(row.Int(0, 4));
  out->set_error(row.Text(0, 5));
  out->set_done(row.Bool(0, 6));
  return absl::OkStatus();
}

}  // namespace dunlin::coordinator
