// Commands of operators about a run; starting one is in start_store.cc.
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/store/definition_cache.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

absl::Status BeginPause(RunEditor& run, const std::string& operator_name, const std::string& why,
                        const Caller& caller) {
  DUNLIN_RETURN_IF_ERROR(run.ChangeState(
      RunState::kPausing, {.actor = operator_name, .reason = why, .peer = caller.peer}));
  run.reason =
      absl::StrCat("paused by ", operator_name, why.empty() ? "" : absl::StrCat(": ", why));
  DUNLIN_RETURN_IF_ERROR(run.Settle());
  return run.Save();
}

}  // namespace

absl::Status WrongState(const RunEditor& run, absl::string_view what, absl::string_view next) {
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat("run ", run.migration, " is ", ToText(run.state), "; ", what,
                                     next.empty() ? "" : absl::StrCat(". ", next))),
                    "WRONG_STATE");
}

absl::Status MayResume(Transaction& tx, const RunEditor& run) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result after, tx.Query(sql::kWhatReplaced, {run.id}));
  if (after.Bool(0, 0)) return WrongState(run, "its file was replaced by another content", "");
  if (!after.IsNull(0, 1)) {
    return WrongState(run, absl::StrCat(after.Text(0, 1), " stands in for it"),
                      absl::StrCat("See that one: dunlin show ", after.Text(0, 1)));
  }
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result newest, tx.Query(sql::kNewestRunBeside, {run.id}));
  if (newest.rows.empty() || newest.Text(0, 0) == run.id) return absl::OkStatus();
  return WrongState(run, "a newer run has taken its place",
                    absl::StrCat("See that one: dunlin show ", newest.Text(0, 0)));
}

absl::Status DecodeRunInto(Transaction& tx, const pg::Result& result, size_t row, bool with_signals,
                           pb::Run* run) {
  DUNLIN_RETURN_IF_ERROR(DecodeRun(result, row, run));
  if (!with_signals || run->state() != pb::Run::STATE_RUNNING) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(
      const std::shared_ptr<const Definition> definition,
      ParsedBefore(run->migration() + ".yaml", absl::HexStringToBytes(result.Text(row, 31))));
  return AddSignals(tx, run, *definition);
}

absl::Status ReadRunInto(Transaction& tx, const std::string& id, pb::Run* run) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result, tx.Query(sql::kReadRun, {id}));
  if (result.rows.empty()) return absl::NotFoundError("the run is gone");
  return DecodeRunInto(tx, result, 0, true, run);
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

absl::StatusOr<pb::PauseRunResponse> Store::PauseRun(const pb::PauseRunRequest& request,
                                                     const Caller& caller) {
  return Idempotent<pb::PauseRunRequest, pb::PauseRunResponse>(
      request, [&](Transaction& tx, pb::PauseRunResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        if (run.state != RunState::kPaused && run.state != RunState::kPausing) {
          if (!MayChange(run.state, RunState::kPausing))
            return WrongState(run, "there is nothing to pause", "");
          DUNLIN_RETURN_IF_ERROR(
              BeginPause(run, request.operator_name(), request.reason(), caller));
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
        DUNLIN_RETURN_IF_ERROR(MayResume(tx, run));
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

absl::StatusOr<pb::PauseAllRunsResponse> Store::PauseAllRuns(const pb::PauseAllRunsRequest& request,
                                                             const Caller& caller) {
  return Idempotent<pb::PauseAllRunsRequest, pb::PauseAllRunsResponse>(
      request, [&](Transaction& tx, pb::PauseAllRunsResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kRunsToPause));
        for (size_t row = 0; row < found.rows.size(); ++row) {
          DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, found.Text(row, 0)));
          if (!MayChange(run.state, RunState::kPausing)) continue;  // it has ended meanwhile
          run.paused_with_all = true;
          DUNLIN_RETURN_IF_ERROR(
              BeginPause(run, request.operator_name(), request.reason(), caller));
          DUNLIN_RETURN_IF_ERROR(ReadRunInto(tx, run.id, response.add_runs()));
        }
        return absl::OkStatus();
      });
}

absl::StatusOr<pb::ResumeAllRunsResponse> Store::ResumeAllRuns(
    const pb::ResumeAllRunsRequest& request, const Caller& caller) {
  return Idempotent<pb::ResumeAllRunsRequest, pb::ResumeAllRunsResponse>(
      request, [&](Transaction& tx, pb::ResumeAllRunsResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kRunsPausedWithAll));
        for (size_t row = 0; row < found.rows.size(); ++row) {
          DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, found.Text(row, 0)));
          if (!run.paused_with_all || !MayChange(run.state, RunState::kPending)) continue;
          DUNLIN_RETURN_IF_ERROR(GoOn(
              tx, run,
              {.actor = request.operator_name(), .reason = request.reason(), .peer = caller.peer},
              run.stop_after_rows));
          DUNLIN_RETURN_IF_ERROR(ReadRunInto(tx, run.id, response.add_runs()));
        }
        return absl::OkStatus();
      });
}

}  // namespace dunlin::coordinator
