// Runs that take a former one back, and dropping what that needs.
#include "absl/strings/str_cat.h"

#include "common/migration/parser.h"
#include "common/migration/undo.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/logic/undo_policy.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {

absl::StatusOr<pb::UndoRunResponse> Store::UndoRun(const pb::UndoRunRequest& request,
                                                   const Caller& caller) {
  return Idempotent<pb::UndoRunRequest, pb::UndoRunResponse>(
      request, [&](Transaction& tx, pb::UndoRunResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        DUNLIN_RETURN_IF_ERROR(MayResume(tx, run));
        DUNLIN_ASSIGN_OR_RETURN(
            const Definition definition,
            ParseMigrationOrError(run.migration + ".yaml", run.definition_bytes));
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result committed,
                                tx.Query(sql::kAnyBatchCommitted, {id}));
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result undo, tx.Query(sql::kUndoOf, {id}));
        const std::string why_not = WhyNoUndo({.migration = run.migration,
                                               .state = run.state,
                                               .kind = run.kind,
                                               .any_batch_committed = committed.Bool(0, 0),
                                               .forgotten = undo.Bool(0, 1),
                                               .why_not_undoable = WhyNotUndoable(definition)});
        if (!why_not.empty())
          return WrongState(run, absl::StrCat("it cannot be undone: ", why_not), "");
        if (run.state == RunState::kPaused) {
          const RunEditor::EventText text{.actor = request.operator_name(),
                                          .reason = "it is being undone",
                                          .peer = caller.peer};
          DUNLIN_RETURN_IF_ERROR(run.ChangeState(RunState::kCancelling, text));
          DUNLIN_RETURN_IF_ERROR(run.Settle());
          DUNLIN_RETURN_IF_ERROR(run.Save());
        }
        DUNLIN_ASSIGN_OR_RETURN(NewRun made, NewRunAfter(tx, run, MakeUndo(definition)));
        made.operator_name = request.operator_name();
        made.reason = request.reason();
        made.kind = RunKind::kUndo;
        return CreateRun(tx, made, caller, response.mutable_run());
      });
}

absl::StatusOr<pb::ForgetRunResponse> Store::ForgetRun(const pb::ForgetRunRequest& request,
                                                       const Caller& caller) {
  return Idempotent<pb::ForgetRunRequest, pb::ForgetRunResponse>(
      request, [&](Transaction& tx, pb::ForgetRunResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        if (run.state != RunState::kFinished) {
          return WrongState(run, "only of a FINISHED one before-images and shards can be dropped",
                            "The others need them to go on");
        }
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result undo, tx.Query(sql::kOpenUndoOf, {id}));
        if (!undo.rows.empty()) {
          return WrongState(run, "it is being undone, which needs its before-images",
                            absl::StrCat("See that: dunlin show ", undo.Text(0, 0)));
        }
        DUNLIN_RETURN_IF_ERROR(RequireAgent(tx, run.target));
        DUNLIN_RETURN_IF_ERROR(run.Emit({.kind = "forget_asked",
                                         .actor = request.operator_name(),
                                         .reason = request.reason(),
                                         .peer = caller.peer}));
        DUNLIN_RETURN_IF_ERROR(run.Save());
        // Of an undo: what it did not put back are images of the run that it took back.
        for (const std::string& forgotten : {id, run.follows}) {
          if (forgotten.empty() || (forgotten != id && run.kind != RunKind::kUndo)) continue;
          agent_pb::TargetTask question;
          question.mutable_forget_run()->set_run_id(forgotten);
          DUNLIN_RETURN_IF_ERROR(
              AskTarget(tx, run.target, absl::StrCat("forget ", forgotten), question));
        }
        return ReadRunInto(tx, id, response.mutable_run());
      });
}

absl::Status Store::ApplyForgotten(Transaction& tx, const std::string& run_id,
                                   const agent_pb::CompleteTargetTaskRequest& answer) {
  DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, run_id));
  if (answer.has_problem()) {
    DUNLIN_RETURN_IF_ERROR(
        run.Emit({.kind = "forget_failed", .reason = answer.problem().message()}));
    return run.Save();
  }
  const agent_pb::ForgetRunResult& result = answer.forget_run();
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kMarkForgotten, {run_id}));
  DUNLIN_RETURN_IF_ERROR(run.Emit({.kind = "run_forgotten",
                                   .new_value = absl::StrCat(result.images(), " before-images, ",
                                                             result.shards(), " shard rows")}));
  return run.Save();
}

}  // namespace dunlin::coordinator
