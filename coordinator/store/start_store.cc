// Starting runs: which targets, whether there was one before, what it takes the place of.
#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/migration/name.h"
#include "common/migration/parser.h"
#include "common/migration/target_pattern.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/logic/start_policy.h"
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

// Why a critical migration is not started; OK = nothing is missing.
absl::Status CheckCritical(const std::string& name, const pb::StartRunRequest& request) {
  if (!request.has_test()) {
    return WithReason(
        absl::PermissionDeniedError(absl::StrCat(name, " is critical and has no test; write ", name,
                                                 ".test.yaml beside it, then start it again")),
        "CRITICAL_WITHOUT_TEST");
  }
  if (request.reason().empty()) {
    return WithReason(
        absl::PermissionDeniedError(absl::StrCat(
            name, " is critical and starts only with a reason; say --reason 'why now'")),
        "CRITICAL_WITHOUT_REASON");
  }
  return absl::OkStatus();
}

absl::Status RefuseFrozen(const RunEditor& old_run, const std::string& digest) {
  return WithReason(
      absl::AlreadyExistsError(absl::StrCat(
          old_run.migration, " has run on ", old_run.target, " with another content: digest ",
          old_run.digest.substr(0, 12), ", the file has ", digest.substr(0, 12),
          ". A definition that has changed rows is frozen: put the file back, or give the new one "
          "a new name with `supersedes: ",
          old_run.migration, "`")),
      "DIGEST_MISMATCH");
}

absl::Status RefuseSuperseded(const std::string& name, const std::string& target,
                              const std::string& by) {
  return WithReason(
      absl::AlreadyExistsError(absl::StrCat(name, " was never started on ", target, ", and ", by,
                                            " stands in for it there; nothing is left to start. "
                                            "See that one: dunlin show ",
                                            by)),
      "SUPERSEDED");
}

absl::StatusOr<std::vector<std::string>> KnownTargets(Transaction& tx) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result known, tx.Query(sql::kKnownTargets));
  std::vector<std::string> names;
  for (size_t row = 0; row < known.rows.size(); ++row) names.push_back(known.Text(row, 0));
  return names;
}

// Ends what a new run takes the place of: at rest already, or stopped by this.
absl::Status EndOldRun(RunEditor& run, const std::string& why, const pb::StartRunRequest& request,
                       const Caller& caller) {
  const RunEditor::EventText text{
      .actor = request.operator_name(), .reason = why, .peer = caller.peer};
  if (MayChange(run.state, RunState::kCancelling))
    DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kCancelling, text));
  if (MayChange(run.state, RunState::kCancelled))
    DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kCancelled, text));
  run.reason = why;
  return run.Save();
}

// An edited file replaces one that never committed a batch.
absl::Status ReplaceRun(Transaction& tx, RunEditor& run, const pb::StartRunRequest& request,
                        const Caller& caller) {
  DUNLIN_RETURN_IF_ERROR(RevokeLeases(tx, run, "", "file replaced"));
  DUNLIN_RETURN_IF_ERROR(EndOldRun(run, "file replaced", request, caller));
  return tx.Run(sql::kMarkVoid, {run.id});
}

// The run of `name` on the target ends for good; the place in the order that its stand-in takes.
absl::StatusOr<std::string> SupersedeRun(Transaction& tx, const std::string& name,
                                         const std::string& target, const std::string& by,
                                         const pb::StartRunRequest& request, const Caller& caller) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          tx.Query(sql::kNewestRunOfTarget, {name, target}));
  if (found.rows.empty()) return name.substr(0, name.find('_'));
  DUNLIN_ASSIGN_OR_RETURN(RunEditor old_run, RunEditor::Lock(tx, found.Text(0, 0)));
  if (!MayBeSuperseded(old_run.state)) {
    return WithReason(absl::FailedPreconditionError(absl::StrCat(
                          by, " supersedes ", name, ", which is ", ToText(old_run.state), " on ",
                          target, "; stop that first: dunlin cancel ", name)),
                      "WRONG_STATE");
  }
  if (old_run.state != RunState::kFinished) {
    DUNLIN_RETURN_IF_ERROR(EndOldRun(old_run, absl::StrCat("superseded by ", by), request, caller));
  }
  return found.Text(0, 1);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> Store::TargetsOf(Transaction& tx,
                                                          const Definition& definition) {
  if (options_.local) {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result database, tx.Query(sql::kCurrentDatabase));
    return std::vector<std::string>{database.Text(0, 0)};
  }
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> known, KnownTargets(tx));
  if (!definition.targets.empty()) {
    std::vector<std::string> targets = ExpandTargets(definition.targets, known);
    if (!targets.empty()) return targets;
    return absl::FailedPreconditionError(absl::StrCat(
        "no target that an agent has told of matches ", absl::StrJoin(definition.targets, ", "),
        "; known are: ", known.empty() ? "none" : absl::StrJoin(known, ", ")));
  }
  if (known.size() == 1) return known;
  if (known.empty()) {
    return absl::FailedPreconditionError(
        "the file names no target, and no agent has told of one yet; add `target: NAME` to the "
        "file, or start an agent");
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the file names no target, and there are several: ", absl::StrJoin(known, ", "),
                   "; add `target: NAME` to the file"));
}

absl::StatusOr<std::string> Store::TargetOf(Transaction& tx, const Definition& definition,
                                            const std::string& asked) {
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> targets, TargetsOf(tx, definition));
  if (asked.empty() && targets.size() == 1) return targets[0];
  if (std::find(targets.begin(), targets.end(), asked) != targets.end()) return asked;
  return absl::InvalidArgumentError(
      absl::StrCat(asked.empty() ? "the migration has several targets; say which"
                                 : absl::StrCat(asked, " is no target of the migration"),
                   ": ", absl::StrJoin(targets, ", ")));
}

absl::StatusOr<pb::ResolveTargetsResponse> Store::ResolveTargets(
    const pb::ResolveTargetsRequest& request) {
  DUNLIN_ASSIGN_OR_RETURN(const MigrationName name, ParseMigrationName(request.migration()));
  DUNLIN_ASSIGN_OR_RETURN(const Definition definition,
                          ParseMigrationOrError(name.full() + ".yaml", request.definition()));
  pb::ResolveTargetsResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> targets, TargetsOf(tx, definition));
        response.mutable_targets()->Assign(targets.begin(), targets.end());
        return absl::OkStatus();
      },
      true));
  return response;
}

absl::StatusOr<Store::NewRun> Store::NewRunAfter(Transaction& tx, const RunEditor& former,
                                                 Definition definition) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result started, tx.Query(sql::kStartedWith, {former.id}));
  return NewRun{.name = former.migration,
                .target = former.target,
                .digest = former.digest,
                .bytes = former.definition_bytes,
                .parameters_json = former.parameters_json,
                .place = started.Text(0, 0),
                .definition = std::move(definition),
                .follows = former.id};
}

absl::Status Store::CreateRun(Transaction& tx, const NewRun& made, const Caller& caller,
                              pb::Run* out) {
  const Definition& definition = made.definition;
  const std::string id = MakeUuid();
  DUNLIN_RETURN_IF_ERROR(tx.Run(
      sql::kInsertRun,
      {id,
       made.name,
       made.target,
       made.digest,
       absl::BytesToHexString(made.bytes),
       made.parameters_json,
       made.operator_name,
       absl::StrCat(definition.steps.size()),
       absl::StrCat(definition.limits.concurrency),
       absl::StrCat(definition.limits.rows_per_second),
       absl::StrCat(absl::ToInt64Milliseconds(definition.limits.batch_time)),
       absl::StrCat(absl::ToInt64Milliseconds(definition.limits.pause)),
       absl::StrCat(made.stop_after_rows),
       made.place,
       definition.supersedes,
       made.not_before_seconds ? pg::Value(absl::StrCat(*made.not_before_seconds)) : std::nullopt,
       Bool(definition.critical),
       ToText(made.kind),
       made.follows,
       made.note}));
  if (made.priority > 0)
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kSetPriority, {id, absl::StrCat(made.priority)}));
  DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
  DUNLIN_RETURN_IF_ERROR(run.Emit(
      {.kind = "run_created",
       .actor = made.operator_name,
       .reason = made.reason,
       .peer = caller.peer,
       .old_value =
           made.follows.empty()
               ? ""
               : absl::StrCat(made.kind == RunKind::kUndo ? "takes back " : "takes the place of ",
                              made.follows),
       .new_value = absl::StrCat(made.kind == RunKind::kApply ? "" : ToText(made.kind) + ", ",
                                 "digest ", made.digest.substr(0, 12))}));
  DUNLIN_RETURN_IF_ERROR(run.Settle());
  DUNLIN_RETURN_IF_ERROR(run.Save());
  return ReadRunInto(tx, id, out);
}

absl::Status Store::StartInTransaction(Transaction& tx, const pb::StartRunRequest& request,
                                       const Caller& caller, NewRun& made,
                                       pb::StartRunResponse& response) {
  const Definition& definition = made.definition;
  DUNLIN_ASSIGN_OR_RETURN(made.target, TargetOf(tx, definition, request.target()));
  // Several hosts may start the same file at once: one creates the run, the others find it.
  std::vector<std::string> names = {made.name};
  if (!definition.supersedes.empty()) names.push_back(definition.supersedes);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names)
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kLockName, {absl::StrCat(name, "@", made.target)}));

  StartFacts facts;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result stand_in,
                          tx.Query(sql::kSupersededBy, {made.name, made.target}));
  if (!stand_in.rows.empty()) facts.superseded_by = stand_in.Text(0, 0);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          tx.Query(sql::kNewestRunOfTarget, {made.name, made.target}));
  std::optional<RunEditor> old_run;
  if (!found.rows.empty()) {
    DUNLIN_ASSIGN_OR_RETURN(old_run, RunEditor::Lock(tx, found.Text(0, 0)));
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result committed,
                            tx.Query(sql::kAnyBatchCommitted, {old_run->id}));
    facts.state = old_run->state;
    facts.same_digest = old_run->digest == made.digest;
    // An undo takes back what its migration has changed, though it may have found nothing to put
    // back.
    facts.any_batch_committed = committed.Bool(0, 0) || old_run->kind == RunKind::kUndo;
  }
  switch (DecideStart(facts)) {
    case StartDecision::kKnown:
      return ReadRunInto(tx, old_run->id, response.mutable_run());
    case StartDecision::kRefuseFrozen:
      return RefuseFrozen(*old_run, made.digest);
    case StartDecision::kRefuseSuperseded:
      return RefuseSuperseded(made.name, made.target, facts.superseded_by);
    case StartDecision::kReplace:
    case StartDecision::kCreate:
      break;
  }
  if (definition.critical) DUNLIN_RETURN_IF_ERROR(CheckCritical(made.name, request));
  if (old_run) DUNLIN_RETURN_IF_ERROR(ReplaceRun(tx, *old_run, request, caller));
  made.place = made.name.substr(0, made.name.find('_'));
  if (!definition.supersedes.empty()) {
    DUNLIN_ASSIGN_OR_RETURN(made.place, SupersedeRun(tx, definition.supersedes, made.target,
                                                     made.name, request, caller));
  }
  response.set_created(true);
  return CreateRun(tx, made, caller, response.mutable_run());
}

absl::StatusOr<pb::StartRunResponse> Store::StartRun(const pb::StartRunRequest& request,
                                                     const Caller& caller) {
  DUNLIN_ASSIGN_OR_RETURN(const MigrationName name, ParseMigrationName(request.migration()));
  NewRun made{.name = name.full(),
              .digest = DigestOf(request.definition()),
              .bytes = request.definition(),
              .operator_name = request.operator_name(),
              .reason = request.reason(),
              .stop_after_rows = request.stop_after_rows(),
              .priority = request.priority()};
  if (request.has_not_before_time()) made.not_before_seconds = request.not_before_time().seconds();
  DUNLIN_ASSIGN_OR_RETURN(made.definition,
                          ParseMigrationOrError(name.full() + ".yaml", request.definition()));
  const std::map<std::string, std::string> parameters(request.parameters().begin(),
                                                      request.parameters().end());
  DUNLIN_RETURN_IF_ERROR(CheckParameters(made.definition, parameters));
  DUNLIN_ASSIGN_OR_RETURN(made.parameters_json, ParametersToJson(parameters));
  if (request.dry_run()) {
    // The same steps, taken back at the end.
    pb::StartRunResponse response;
    const absl::Status dry = InTransaction([&](Transaction& tx) -> absl::Status {
      response.Clear();
      DUNLIN_RETURN_IF_ERROR(StartInTransaction(tx, request, caller, made, response));
      return WithReason(absl::CancelledError("nothing is kept"), "DRY_RUN");
    });
    if (ReasonOf(dry) != "DRY_RUN") return dry;
    return response;
  }
  return Idempotent<pb::StartRunRequest, pb::StartRunResponse>(
      request, [&](Transaction& tx, pb::StartRunResponse& response) {
        return StartInTransaction(tx, request, caller, made, response);
      });
}

}  // namespace dunlin::coordinator
