// Commands of operators.
#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/migration/name.h"
#include "common/migration/parser.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

absl::Status CheckParameters(const Definition& definition,
                             const std::map<std::string, std::string>& given) {
  std::vector<std::string> declared;
  for (const ParameterDefinition& parameter : definition.parameters) {
    declared.push_back(parameter.name);
    if (!given.contains(parameter.name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "parameter ", parameter.name, " has no value; add --set ", parameter.name, "=VALUE"));
    }
  }
  for (const auto& [name, value] : given) {
    if (std::find(declared.begin(), declared.end(), name) == declared.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the migration declares no parameter ", name,
          declared.empty() ? " (it has none)"
                           : absl::StrCat("; it has ", absl::StrJoin(declared, ", "))));
    }
  }
  return absl::OkStatus();
}

absl::Status WrongState(const RunEditor& run, absl::string_view what, absl::string_view next) {
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat("run ", run.migration, " is ", ToText(run.state), "; ", what,
                                     next.empty() ? "" : absl::StrCat(". ", next))),
                    "WRONG_STATE");
}

}  // namespace

absl::Status ReadRunInto(Transaction& tx, const std::string& id, pb::Run* run) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result, tx.Query(sql::kReadRun, {id}));
  if (result.rows.empty()) return absl::NotFoundError("the run is gone");
  return DecodeRun(result, 0, run);
}

absl::Status GoOn(Transaction& tx, RunEditor& run, const RunEditor::EventText& why,
                  int64_t stop_after_rows) {
  if (MayChange(run.state, RunState::kPending)) {
    run.preflight_passed = false;
    run.error.clear();
    run.reason.clear();
    run.pressure_seen = false;
    run.reconciles = 0;
    run.stop_after_rows = stop_after_rows;
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result rows, tx.Query(sql::kRowsDone, {run.id}));
    run.stop_after_base = rows.Int(0, 0);
    DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kPending, why));
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kForgiveShards, {run.id}));
  }
  DUNLIN_RETURN_IF_ERROR(run.Settle());
  return run.Save();
}

absl::StatusOr<std::string> Store::ResolveTarget(Transaction& tx, const Definition& definition) {
  if (!options_.single_target.empty()) return options_.single_target;
  if (!definition.target.empty()) return definition.target;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result known, tx.Query(sql::kKnownTargets));
  if (known.rows.size() == 1) return known.Text(0, 0);
  if (known.rows.empty()) {
    return absl::FailedPreconditionError(
        "the file names no target, and no agent has told of one yet; add `target: NAME` to the "
        "file, or start an agent");
  }
  std::vector<std::string> names;
  for (size_t row = 0; row < known.rows.size(); ++row) names.push_back(known.Text(row, 0));
  return absl::FailedPreconditionError(
      absl::StrCat("the file names no target, and there are several: ", absl::StrJoin(names, ", "),
                   "; add `target: NAME` to the file"));
}

// While no batch was ever committed an edited file replaces the old one.
absl::StatusOr<bool> Store::ReplaceUnstartedRun(Transaction& tx, RunEditor& old_run,
                                                const pb::StartRunRequest& request,
                                                const Caller& caller, const std::string& digest) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result committed,
                          tx.Query(sql::kAnyBatchCommitted, {old_run.id}));
  if (committed.Bool(0, 0) || old_run.state == RunState::kFinished) {
    return WithReason(absl::AlreadyExistsError(absl::StrCat(
                          old_run.migration, " has run here with another content: digest ",
                          old_run.digest.substr(0, 12), ", the file has ", digest.substr(0, 12),
                          ". A definition that has changed rows is frozen; put the file back, or "
                          "give the new one a new name")),
                      "DIGEST_MISMATCH");
  }
  DUNLIN_RETURN_IF_ERROR(RevokeLeases(tx, old_run, "", "file replaced"));
  const RunEditor::EventText why{
      .actor = request.operator_name(), .reason = "file replaced", .peer = caller.peer};
  if (old_run.state != RunState::kCancelled && old_run.state != RunState::kFailed) {
    DUNLIN_RETURN_IF_ERROR(old_run.ChangeState(RunState::kCancelling, why));
  }
  if (old_run.state != RunState::kCancelled)
    DUNLIN_RETURN_IF_ERROR(old_run.ChangeState(RunState::kCancelled, why));
  old_run.reason = "file replaced";
  DUNLIN_RETURN_IF_ERROR(old_run.Save());
  return true;
}

absl::StatusOr<pb::StartRunResponse> Store::StartRun(const pb::StartRunRequest& request,
                                                     const Caller& caller) {
  DUNLIN_ASSIGN_OR_RETURN(const MigrationName name, ParseMigrationName(request.migration()));
  DUNLIN_ASSIGN_OR_RETURN(const Definition definition,
                          ParseMigrationOrError(name.full() + ".yaml", request.definition()));
  const std::map<std::string, std::string> parameters(request.parameters().begin(),
                                                      request.parameters().end());
  DUNLIN_RETURN_IF_ERROR(CheckParameters(definition, parameters));
  DUNLIN_ASSIGN_OR_RETURN(const std::string json, ParametersToJson(parameters));
  const std::string digest = DigestOf(request.definition());

  return Idempotent<pb::StartRunRequest, pb::StartRunResponse>(
      request, [&](Transaction& tx, pb::StartRunResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string target, ResolveTarget(tx, definition));
        // Several hosts may start the same file at once: one creates the run, the others find it.
        DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kLockName, {absl::StrCat(name.full(), "@", target)}));
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                                tx.Query(sql::kNewestRunOfTarget, {name.full(), target}));
        if (!found.rows.empty()) {
          DUNLIN_ASSIGN_OR_RETURN(RunEditor old_run, RunEditor::Lock(tx, found.Text(0, 0)));
          const bool replaced_before =
              old_run.state == RunState::kCancelled && old_run.reason == "file replaced";
          if (old_run.digest == digest && !replaced_before)
            return ReadRunInto(tx, old_run.id, response.mutable_run());
          DUNLIN_RETURN_IF_ERROR(
              ReplaceUnstartedRun(tx, old_run, request, caller, digest).status());
        }
        const std::string id = MakeUuid();
        DUNLIN_RETURN_IF_ERROR(
            tx.Run(sql::kInsertRun,
                   {id, name.full(), target, digest, absl::BytesToHexString(request.definition()),
                    json, request.operator_name(), absl::StrCat(definition.steps.size()),
                    absl::StrCat(definition.limits.concurrency),
                    absl::StrCat(definition.limits.rows_per_second),
                    absl::StrCat(absl::ToInt64Milliseconds(definition.limits.batch_time)),
                    absl::StrCat(absl::ToInt64Milliseconds(definition.limits.pause)),
                    absl::StrCat(request.stop_after_rows())}));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        DUNLIN_RETURN_IF_ERROR(
            run.Emit({.kind = "run_created",
                      .actor = request.operator_name(),
                      .reason = request.reason(),
                      .peer = caller.peer,
                      .new_value = absl::StrCat("digest ", digest.substr(0, 12))}));
        DUNLIN_RETURN_IF_ERROR(run.Settle());
        DUNLIN_RETURN_IF_ERROR(run.Save());
        response.set_created(true);
        return ReadRunInto(tx, id, response.mutable_run());
      });
}

absl::StatusOr<pb::PauseRunResponse> Store::PauseRun(const pb::PauseRunRequest& request,
                                                     const Caller& caller) {
  return Idempotent<pb::PauseRunRequest, pb::PauseRunResponse>(
      request, [&](Transaction& tx, pb::PauseRunResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        if (run.state != RunState::kPaused && run.state != RunState::kPausing) {
          if (!MayChange(run.state, RunState::kPausing))
            return WrongState(run, "there is nothing to pause", "");
          DUNLIN_RETURN_IF_ERROR(run.ChangeState(
              RunState::kPausing,
              {.actor = request.operator_name(), .reason = request.reason(), .peer = caller.peer}));
          run.reason =
              absl::StrCat("paused by ", request.operator_name(),
                           request.reason().empty() ? "" : absl::StrCat(": ", request.reason()));
          DUNLIN_RETURN_IF_ERROR(run.Settle());
          DUNLIN_RETURN_IF_ERROR(run.Save());
        }
        return ReadRunInto(tx, id, response.mutable_run());
      });
}

absl::StatusOr<pb::ResumeRunResponse> Store::ResumeRun(const pb::ResumeRunRequest& request,
                                                       const Caller& caller) {
  return Idempotent<pb::ResumeRunRequest, pb::ResumeRunResponse>(
      request, [&](Transaction& tx, pb::ResumeRunResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        if (run.state == RunState::kFinished)
          return WrongState(run, "there is nothing to resume", "");
        if (run.state == RunState::kCancelling)
          return WrongState(run, "wait until it is CANCELLED", "");
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result facts,
                                tx.Query(sql::kRunFacts, {id, absl::StrCat(run.step)}));
        const bool all_done = run.planned_steps > run.step && facts.Int(0, 0) == 0;
        if (all_done && facts.Int(0, 5) > 0 && run.state == RunState::kPaused) {
          return WrongState(run, "everything is done but rows that are set aside",
                            "Mend them and `dunlin quarantine retry`, or `dunlin quarantine accept "
                            "--reason WHY`");
        }
        DUNLIN_RETURN_IF_ERROR(GoOn(
            tx, run,
            {.actor = request.operator_name(), .reason = request.reason(), .peer = caller.peer},
            request.stop_after_rows()));
        return ReadRunInto(tx, id, response.mutable_run());
      });
}

absl::StatusOr<pb::CancelRunResponse> Store::CancelRun(const pb::CancelRunRequest& request,
                                                       const Caller& caller) {
  return Idempotent<pb::CancelRunRequest, pb::CancelRunResponse>(
      request, [&](Transaction& tx, pb::CancelRunResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        if (run.state != RunState::kCancelled && run.state != RunState::kCancelling) {
          if (!MayChange(run.state, RunState::kCancelling))
            return WrongState(run, "there is nothing to cancel", "");
          DUNLIN_RETURN_IF_ERROR(run.ChangeState(
              RunState::kCancelling,
              {.actor = request.operator_name(), .reason = request.reason(), .peer = caller.peer}));
          run.reason =
              absl::StrCat("cancelled by ", request.operator_name(),
                           request.reason().empty() ? "" : absl::StrCat(": ", request.reason()));
          DUNLIN_RETURN_IF_ERROR(run.Settle());
          DUNLIN_RETURN_IF_ERROR(run.Save());
        }
        return ReadRunInto(tx, id, response.mutable_run());
      });
}

}  // namespace dunlin::coordinator
