// Rows that are set aside: what agents report of them, what operators say about them.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/pg/error.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/logic/quarantine.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

std::string SecondsText(const google::protobuf::Timestamp& time) {
  return absl::StrCat(time.seconds(), ".", absl::Dec(time.nanos(), absl::kZeroPad9));
}

// Whether it was not known.
absl::StatusOr<bool> AddRow(Transaction& tx, const RunEditor& run,
                            const agent_pb::QuarantinedRow& row) {
  const std::vector<std::string> names(row.key_column().begin(), row.key_column().end());
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result added,
      tx.Query(
          sql::kAddQuarantined,
          {row.quarantine_id(), run.id, row.shard_id(), absl::StrCat(row.step()), row.relation(),
           pg::EncodeTextArray(names), KeyToArray(true, row.key()), absl::StrCat(row.rows()),
           row.sqlstate(), row.constraint(), row.table(), absl::StrCat(row.tries()),
           row.accepted() ? "accepted" : "quarantined", row.accepted_by(), row.accepted_reason(),
           SecondsText(row.fail_time()), SecondsText(row.try_time())}));
  return added.rows_affected > 0;
}

pb::QuarantinedRow::State StateOf(const std::string& state) {
  if (state == "accepted") return pb::QuarantinedRow::STATE_ACCEPTED;
  if (state == "accepting") return pb::QuarantinedRow::STATE_ACCEPTING;
  return pb::QuarantinedRow::STATE_QUARANTINED;
}

void SetTime(const std::string& seconds, google::protobuf::Timestamp* out) {
  double number = 0;
  if (absl::SimpleAtod(seconds, &number)) out->set_seconds(static_cast<int64_t>(number));
}

absl::Status DecodeQuarantined(const pg::Result& result, size_t row, pb::QuarantinedRow* out) {
  std::vector<std::string> columns;
  out->set_quarantine_id(result.Text(row, 0));
  out->set_step(static_cast<int>(result.Int(row, 1)) + 1);
  out->set_relation(result.Text(row, 2));
  DUNLIN_RETURN_IF_ERROR(ArrayToColumns(result.rows[row][3], columns));
  out->mutable_key_column()->Assign(columns.begin(), columns.end());
  DUNLIN_RETURN_IF_ERROR(ArrayToColumns(result.rows[row][4], columns));
  out->mutable_key_text()->Assign(columns.begin(), columns.end());
  out->set_rows(result.Int(row, 5));
  out->set_sqlstate(result.Text(row, 6));
  out->set_constraint(result.Text(row, 7));
  out->set_table(result.Text(row, 8));
  out->set_tries(static_cast<int>(result.Int(row, 9)));
  out->set_state(StateOf(result.Text(row, 10)));
  out->set_accepted_by(result.Text(row, 11));
  out->set_accepted_reason(result.Text(row, 12));
  SetTime(result.Text(row, 13), out->mutable_fail_time());
  SetTime(result.Text(row, 14), out->mutable_try_time());
  return absl::OkStatus();
}

absl::Status NothingQuarantined(const RunEditor& run) {
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat("no row of ", run.migration,
                                     " is set aside that nobody has accepted; there is nothing to "
                                     "retry or accept")),
                    "NOTHING_QUARANTINED");
}

absl::StatusOr<int64_t> CountSetAside(Transaction& tx, const RunEditor& run) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result facts, tx.Query(sql::kQuarantineFacts, {run.id}));
  return facts.Int(0, 0);
}

}  // namespace

absl::Status CheckQuarantine(Transaction& tx, RunEditor& run) {
  if (run.state != RunState::kRunning) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result counted, tx.Query(sql::kQuarantineFacts, {run.id}));
  DUNLIN_ASSIGN_OR_RETURN(const Definition* definition, run.definition());
  const QuarantineFacts facts{.set_aside = counted.Int(0, 0),
                              .set_aside_max = definition->limits.max_quarantined,
                              .session_passed = counted.Int(0, 2),
                              .session_failed = counted.Int(0, 1)};
  std::string what;
  switch (DecideQuarantine(facts)) {
    case QuarantineVerdict::kGoOn:
      return absl::OkStatus();
    case QuarantineVerdict::kTooMany:
      what =
          absl::StrCat(facts.set_aside, " rows are set aside, more than limits.max_quarantined (",
                       facts.set_aside_max, ")");
      break;
    case QuarantineVerdict::kBreaker:
      what = absl::StrCat(facts.session_failed, " of the ", facts.session_passed,
                          " rows since it was started or resumed have failed, more than a quarter");
      break;
  }
  DUNLIN_ASSIGN_OR_RETURN(const std::string reasons, run.QuarantineReasons());
  return run.PauseWithError(
      absl::StrCat(what, ": ", reasons, ". See them: dunlin quarantine list ", run.migration,
                   "; mend them, or what rejects them, then `dunlin quarantine retry`, which goes "
                   "on with the others too"));
}

absl::StatusOr<agent_pb::ReportQuarantineResponse> Store::ReportQuarantine(
    const agent_pb::ReportQuarantineRequest& request) {
  return Idempotent<agent_pb::ReportQuarantineRequest, agent_pb::ReportQuarantineResponse>(
      request, [&](Transaction& tx, agent_pb::ReportQuarantineResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(LockedShard shard,
                                LockShard(tx, request.lease_id(), request.shard_id(),
                                          request.epoch(), request.target()));
        RunEditor& run = shard.run;
        const agent_pb::Checkpoint& at = request.checkpoint();
        DUNLIN_RETURN_IF_ERROR(
            tx.Run(sql::kCheckpoint,
                   {request.lease_id(), KeyToArray(at.has_cursor(), at.cursor()),
                    absl::StrCat(at.seq()), absl::StrCat(at.rows_done()),
                    absl::StrCat(at.rows_changed()), "0", "", absl::StrCat(run.revision + 1)}));
        int64_t rows = 0;
        std::string why;
        for (const agent_pb::QuarantinedRow& row : request.rows()) {
          DUNLIN_ASSIGN_OR_RETURN(const bool added, AddRow(tx, run, row));
          if (!added) continue;
          rows += row.rows();
          why = row.sqlstate();
        }
        if (rows > 0) {
          DUNLIN_RETURN_IF_ERROR(
              run.Emit({.kind = "rows_quarantined",
                        .reason = pg::DescribeSqlState(why),
                        .shard = shard.id,
                        .new_value = absl::StrCat(rows, rows == 1 ? " row" : " rows")}));
        }
        DUNLIN_RETURN_IF_ERROR(CheckQuarantine(tx, run));
        DUNLIN_RETURN_IF_ERROR(run.Settle());
        response.set_stop(run.state != RunState::kRunning);
        return run.Save();
      });
}

absl::Status Store::ApplyQuarantine(Transaction& tx, RunEditor& run, const pg::Result& task,
                                    const agent_pb::QuarantineResult& result) {
  std::vector<std::string> ids;
  for (const agent_pb::QuarantinedRow& row : result.rows()) {
    ids.push_back(row.quarantine_id());
    DUNLIN_ASSIGN_OR_RETURN(const bool added, AddRow(tx, run, row));
    if (added) continue;
    DUNLIN_RETURN_IF_ERROR(
        tx.Run(sql::kUpdateQuarantined,
               {row.quarantine_id(), row.sqlstate(), row.constraint(), row.table(),
                absl::StrCat(row.tries()), SecondsText(row.try_time()),
                row.accepted() ? "accepted" : "", row.accepted_by(), row.accepted_reason()}));
  }
  // What an operator's retry changed is lost: it is carried out again (I6).
  if (result.rows_retried() < run.rows_retried) run.retries_asked = run.retries_done + 1;
  run.rows_retried = result.rows_retried();
  return tx.Run(sql::kDropQuarantined, {run.id, pg::EncodeTextArray(ids), task.Text(0, 8)});
}

absl::Status Store::ApplyQuarantineTask(Transaction& tx, RunEditor& run, const pg::Result& task,
                                        const agent_pb::QuarantineResult& result) {
  const int64_t before = run.rows_retried;
  DUNLIN_RETURN_IF_ERROR(ApplyQuarantine(tx, run, task, result));
  const int64_t retry = task.Int(0, 7);
  if (retry == 0) return absl::OkStatus();
  run.retries_done = std::max(run.retries_done, retry);
  DUNLIN_ASSIGN_OR_RETURN(const int64_t left, CountSetAside(tx, run));
  return run.Emit({.kind = "quarantine_retried",
                   .new_value = absl::StrCat(run.rows_retried - before, " rows changed, ", left,
                                             left == 1 ? " row still fails" : " rows still fail")});
}

absl::Status Store::FillQuarantineTask(Transaction& tx, const RunEditor& run, int64_t retry,
                                       agent_pb::TaskLease* task) {
  task->set_retry(retry > 0);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result accepting, tx.Query(sql::kAccepting, {run.id}));
  for (size_t row = 0; row < accepting.rows.size(); ++row) {
    agent_pb::TaskLease::Acceptance* accept = task->add_accept();
    accept->set_quarantine_id(accepting.Text(row, 0));
    accept->set_operator_name(accepting.Text(row, 1));
    accept->set_reason(accepting.Text(row, 2));
  }
  return absl::OkStatus();
}

absl::StatusOr<pb::ListQuarantinedRowsResponse> Store::ListQuarantinedRows(
    const pb::ListQuarantinedRowsRequest& request) {
  DUNLIN_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size()));
  int64_t after = 0;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &after))
    return absl::InvalidArgumentError("page_token is not one that was given");
  pb::ListQuarantinedRowsResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction(
      [&](Transaction& tx) -> absl::Status {
        response.Clear();
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(
            const pg::Result result,
            tx.Query(sql::kListQuarantined, {id, absl::StrCat(after), absl::StrCat(size)}));
        for (size_t row = 0; row < result.rows.size(); ++row)
          DUNLIN_RETURN_IF_ERROR(DecodeQuarantined(result, row, response.add_rows()));
        if (response.rows_size() == size)
          response.set_next_page_token(result.Text(result.rows.size() - 1, 15));
        return absl::OkStatus();
      },
      true));
  return response;
}

absl::StatusOr<pb::RetryQuarantinedRowsResponse> Store::RetryQuarantinedRows(
    const pb::RetryQuarantinedRowsRequest& request, const Caller& caller) {
  return Idempotent<pb::RetryQuarantinedRowsRequest, pb::RetryQuarantinedRowsResponse>(
      request, [&](Transaction& tx, pb::RetryQuarantinedRowsResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        DUNLIN_RETURN_IF_ERROR(MayResume(tx, run));
        DUNLIN_ASSIGN_OR_RETURN(const int64_t rows, CountSetAside(tx, run));
        if (rows == 0) return NothingQuarantined(run);
        ++run.retries_asked;
        DUNLIN_RETURN_IF_ERROR(run.Emit({.kind = "quarantine_retry_asked",
                                         .actor = request.operator_name(),
                                         .reason = request.reason(),
                                         .peer = caller.peer,
                                         .new_value = absl::StrCat(rows, " rows")}));
        DUNLIN_RETURN_IF_ERROR(GoOn(tx, run,
                                    {.actor = request.operator_name(),
                                     .reason = "to retry rows that are set aside",
                                     .peer = caller.peer}));
        return ReadRunInto(tx, id, response.mutable_run());
      });
}

absl::StatusOr<pb::AcceptQuarantinedRowsResponse> Store::AcceptQuarantinedRows(
    const pb::AcceptQuarantinedRowsRequest& request, const Caller& caller) {
  if (request.reason().empty()) {
    return absl::InvalidArgumentError(
        "accepting rows as they are needs a reason; add --reason WHY");
  }
  return Idempotent<pb::AcceptQuarantinedRowsRequest, pb::AcceptQuarantinedRowsResponse>(
      request, [&](Transaction& tx, pb::AcceptQuarantinedRowsResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(const std::string id, ResolveRun(tx, request.run()));
        DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, id));
        DUNLIN_RETURN_IF_ERROR(MayResume(tx, run));
        DUNLIN_ASSIGN_OR_RETURN(const int64_t rows, CountSetAside(tx, run));
        if (rows == 0) return NothingQuarantined(run);
        DUNLIN_RETURN_IF_ERROR(
            tx.Run(sql::kMarkAccepting, {run.id, request.operator_name(), request.reason()}));
        DUNLIN_RETURN_IF_ERROR(run.Emit({.kind = "quarantine_accepted",
                                         .actor = request.operator_name(),
                                         .reason = request.reason(),
                                         .peer = caller.peer,
                                         .new_value = absl::StrCat(rows, " rows")}));
        DUNLIN_RETURN_IF_ERROR(GoOn(tx, run,
                                    {.actor = request.operator_name(),
                                     .reason = "rows that are set aside were accepted",
                                     .peer = caller.peer}));
        return ReadRunInto(tx, id, response.mutable_run());
      });
}

}  // namespace dunlin::coordinator
