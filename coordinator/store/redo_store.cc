// A critical run's approval, and runs that are done again.
#include "absl/strings/str_cat.h"

#include "common/migration/parser.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/logic/redo_policy.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

absl::Status RefuseTwice(const RunEditor& run) {
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat(
          run.migration,
          run.kind == RunKind::kBaseline ? " is recorded as done elsewhere on "
          : run.kind == RunKind::kUndo   ? " was not undone completely on "
                                         : " has changed rows, or may have, on ",
          run.target,
          ", and its file does not say `idempotent: true`: doing it again would apply it to those "
          "rows a second time. If that is what you want: dunlin redo ",
          run.migration, " --apply-twice")),
      "WOULD_APPLY_TWICE");
}

}  // namespace

absl::StatusOr<pb::ApproveRunResponse> Store::ApproveRun(const pb::ApproveRunRequest& request,
                                                         const Caller& caller) {
  return Idempotent<pb::ApproveRunRequest, pb::ApproveRunResponse>(
      request, [&](Transaction& tx, pb::ApproveRunResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result approval, tx.Query(sql::kApproval, {id}));
        if (!approval.Bool(0, 0))
          return WrongState(run, "it is not critical, so it needs no approval", "");
        if (!IsLive(run.state)) return WrongState(run, "there is nothing left to approve", "");
        if (approval.Text(0, 1).empty()) {
          if (request.operator_name() == run.operator_name) {
            return WithReason(
                absl::PermissionDeniedError(absl::StrCat(
                    run.migration, " was started by ", run.operator_name,
                    ", and is to be approved by somebody else. Ask a colleague to look at it: "
                    "dunlin show ",
                    run.migration, ", then dunlin approve ", run.migration)),
                "SAME_OPERATOR");
          }
          DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kApprove, {id, request.operator_name()}));
          DUNLIN_RETURN_IF_ERROR(
              run.Emit({.kind = "run_approved",
                        .actor = request.operator_name(),
                        .reason = request.reason(),
                        .peer = caller.peer,
                        .new_value = absl::StrCat("digest ", run.digest.substr(0, 12))}));
          DUNLIN_RETURN_IF_ERROR(run.Settle());
          DUNLIN_RETURN_IF_ERROR(run.Save());
        }
        return ReadRunInto(tx, id, response.mutable_run());
      });
}

absl::StatusOr<pb::RedoRunResponse> Store::RedoRun(const pb::RedoRunRequest& request,
                                                   const Caller& caller) {
  return Idempotent<pb::RedoRunRequest, pb::RedoRunResponse>(
      request, [&](Transaction& tx, pb::RedoRunResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(const RunEditor peek, RunEditor::Lock(tx, id));
        DUNLIN_RETURN_IF_ERROR(MayResume(tx, peek));
        DUNLIN_ASSIGN_OR_RETURN(
            const Definition definition,
            ParseMigrationOrError(peek.migration + ".yaml", peek.definition_bytes));
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result committed,
                                tx.Query(sql::kAnyBatchCommitted, {id}));
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result undo, tx.Query(sql::kUndoOf, {id}));
        switch (DecideRedo({.state = peek.state,
                            .kind = peek.kind,
                            .any_batch_committed = committed.Bool(0, 0),
                            .rows_left = undo.Int(0, 0),
                            .idempotent = definition.idempotent,
                            .apply_twice = request.apply_twice()})) {
          case RedoDecision::kRefuseInWork:
            return WrongState(peek, "it must have ended before it is done again",
                              absl::StrCat("To go on with it: dunlin resume ", peek.migration,
                                           "; to end it: dunlin cancel ", peek.migration));
          case RedoDecision::kRefuseTwice:
            return RefuseTwice(peek);
          case RedoDecision::kCreate:
            break;
        }
        if (definition.critical && request.reason().empty()) {
          return WithReason(
              absl::PermissionDeniedError(absl::StrCat(
                  peek.migration,
                  " is critical and is done again only with a reason; say --reason 'why now'")),
              "CRITICAL_WITHOUT_REASON");
        }
        DUNLIN_ASSIGN_OR_RETURN(NewRun made, NewRunAfter(tx, peek, definition));
        made.operator_name = request.operator_name();
        made.reason = request.reason();
        return CreateRun(tx, made, caller, response.mutable_run());
      });
}

}  // namespace dunlin::coordinator
