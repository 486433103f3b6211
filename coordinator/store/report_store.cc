// What agents report about the work that they were granted: splits, ends, releases.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/fault.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

constexpr int kMaxReconciles = 5;
// An agent that is granted work and meets a former primary instead would be granted it again at
// once.
constexpr absl::Duration kLeftBehindWait = absl::Seconds(1);

std::string KeyForPeople(const agent_pb::Key& key) {
  return absl::StrCat("(", absl::StrJoin(key.column_text(), ", "), ")");
}

std::string SentenceOf(const agent_pb::Problem& problem) {
  std::string text = problem.message();
  if (!problem.sqlstate().empty() && text.find(problem.sqlstate()) == std::string::npos) {
    absl::StrAppend(&text, " [", problem.sqlstate(), "]");
  }
  if (problem.kind() == agent_pb::Problem::KIND_DATA && problem.has_key_to()) {
    absl::StrAppend(
        &text, "; in the range of keys behind ",
        problem.has_key_from() ? KeyForPeople(problem.key_from()) : std::string("the beginning"),
        " up to ", KeyForPeople(problem.key_to()),
        ". Nothing of that range is changed; mend the row or the statement, then resume");
  }
  return text;
}

// By columns: the server prints arrays otherwise than we do.
absl::StatusOr<bool> SameKey(const pg::Value& stored, bool present, const agent_pb::Key& key) {
  if (stored.has_value() != present) return false;
  std::vector<std::string> columns;
  DUNLIN_RETURN_IF_ERROR(ArrayToColumns(stored, columns));
  return std::equal(columns.begin(), columns.end(), key.column_text().begin(),
                    key.column_text().end());
}

absl::Status FinishUndo(Transaction& tx, RunEditor& run, const agent_pb::FinalizeResult& result) {
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kTellLeft, {run.id, absl::StrCat(result.rows_left()),
                                                 pg::EncodeTextArray({result.some_left().begin(),
                                                                      result.some_left().end()})}));
  return run.ChangeState(
      RunState::kFinished,
      {.reason = result.rows_left() == 0
                     ? "everything is as it was before"
                     : absl::StrCat(result.rows_left(),
                                    " rows were changed since, and are left as they are")});
}

// What a problem means for the run; the lease has been given back already.
absl::Status ApplyProblem(Transaction& tx, RunEditor& run, const agent_pb::Problem& problem,
                          const std::string& shard) {
  switch (problem.kind()) {
    case agent_pb::Problem::KIND_DATA: {
      DUNLIN_ASSIGN_OR_RETURN(const std::string reasons, run.QuarantineReasons());
      return run.PauseWithError(
          absl::StrCat(SentenceOf(problem),
                       reasons.empty() ? "" : absl::StrCat(". Set aside before: ", reasons)));
    }
    case agent_pb::Problem::KIND_PAUSE:
      return run.PauseWithError(SentenceOf(problem));
    case agent_pb::Problem::KIND_DEFINITION:
    case agent_pb::Problem::KIND_STORE_REFUSED:
    case agent_pb::Problem::KIND_PERMISSION:
      return run.FailWithError(SentenceOf(problem));
    case agent_pb::Problem::KIND_LEDGER_MISMATCH:
      if (!run.reconcile_due) ++run.reconciles;  // of several reports, one reconcile
      if (run.reconciles > kMaxReconciles) {
        return run.PauseWithError(absl::StrCat("store and ledger still disagree after ",
                                               kMaxReconciles,
                                               " attempts to reconcile them: ", problem.message()));
      }
      run.reconcile_due = true;
      DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kDropOpenTasks, {run.id}));  // nothing else before it
      return run.Emit(
          {.kind = "reconcile_due", .reason = problem.message(), .shard = shard, .audit = false});
    case agent_pb::Problem::KIND_STALE_EPOCH:
      if (shard.empty()) {
        run.task_epoch = std::max(run.task_epoch, problem.ledger_epoch());
        return absl::OkStatus();
      }
      return tx.Run(sql::kRaiseEpoch, {shard, absl::StrCat(problem.ledger_epoch())});
    default:
      return absl::OkStatus();
  }
}

// What an agent says that meets a former primary tells nothing of the shard; it goes back to be
// granted to one that reaches the present one.
absl::Status GiveBackUncounted(Transaction& tx, LockedShard& shard, const std::string& lease_id) {
  RunEditor& run = shard.run;
  DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kReleaseShard, {lease_id, absl::StrCat(run.revision + 1),
                                                     DurationText(kLeftBehindWait), "0", ""}));
  DUNLIN_RETURN_IF_ERROR(run.Emit({.kind = "lease_released",
                                   .reason = "its agent has met a server that was left behind",
                                   .shard = shard.id,
                                   .audit = false}));
  DUNLIN_RETURN_IF_ERROR(run.Settle());
  return run.Save();
}

absl::Duration WaitAfter(const agent_pb::Problem& problem, int64_t troubles) {
  if (problem.kind() != agent_pb::Problem::KIND_TRANSIENT) return absl::ZeroDuration();
  constexpr absl::Duration kCap = absl::Seconds(30);
  return std::min(kCap, absl::Milliseconds(100) * (int64_t{1} << std::min<int64_t>(troubles, 9)));
}

}  // namespace

absl::Status LeaseLost() {
  return WithReason(absl::AbortedError("the lease is not held by the caller any more"),
                    "LEASE_LOST");
}

absl::StatusOr<LockedShard> LockShardOfLease(Transaction& tx, const std::string& lease_id,
                                             const agent_pb::TargetIdentity& from) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result peek, tx.Query(sql::kShardByLease, {lease_id}));
  if (peek.rows.empty()) return LeaseLost();
  DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, peek.Text(0, 1)));
  // Read again behind the run's lock: the lease may have been revoked meanwhile.
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result row, tx.Query(sql::kShardByLease, {lease_id}));
  if (row.rows.empty()) return LeaseLost();
  DUNLIN_ASSIGN_OR_RETURN(const bool counts, CheckReporter(tx, run, from));
  return LockedShard{.run = std::move(run),
                     .id = row.Text(0, 0),
                     .upper = row.rows[0][4],
                     .epoch = row.Int(0, 5),
                     .counts = counts};
}

absl::StatusOr<LockedShard> LockShard(Transaction& tx, const std::string& lease_id,
                                      const std::string& shard_id, int64_t epoch,
                                      const agent_pb::TargetIdentity& from) {
  if (DUNLIN_MUTANT("rpc_without_lease")) {
    DUNLIN_RETURN_IF_ERROR(tx.Run({"",
                                   "UPDATE dunlin_store.shard SET lease_id = $1::uuid, epoch = "
                                   "$3::bigint WHERE id = $2::uuid"},
                                  {lease_id, shard_id, absl::StrCat(epoch)}));
  }
  DUNLIN_ASSIGN_OR_RETURN(LockedShard shard, LockShardOfLease(tx, lease_id, from));
  if (shard.id != shard_id || shard.epoch != epoch || !shard.counts) return LeaseLost();
  return shard;
}

absl::Status Store::ReportSplit(const agent_pb::ReportSplitRequest& request) {
  return Idempotent<agent_pb::ReportSplitRequest, agent_pb::ReportSplitResponse>(
             request,
             [&](Transaction& tx, agent_pb::ReportSplitResponse&) -> absl::Status {
               DUNLIN_ASSIGN_OR_RETURN(LockedShard shard,
                                       LockShard(tx, request.lease_id(), request.shard_id(),
                                                 request.epoch(), request.target()));
               const pg::Value child_upper =
                   KeyToArray(request.has_child_upper(), request.child_upper());
               DUNLIN_ASSIGN_OR_RETURN(
                   const bool same,
                   SameKey(shard.upper, request.has_child_upper(), request.child_upper()));
               if (!same) return LeaseLost();
               RunEditor& run = shard.run;
               const pg::Value middle = KeyToArray(request.has_middle(), request.middle());
               DUNLIN_RETURN_IF_ERROR(tx.Run(
                   sql::kMoveUpper, {shard.id, middle, absl::StrCat(request.parent_rows_total()),
                                     absl::StrCat(run.revision + 1)}));
               DUNLIN_RETURN_IF_ERROR(tx.Run(
                   sql::kInsertChild,
                   {shard.id, request.child_shard_id(), child_upper,
                    absl::StrCat(request.child_rows_total()), absl::StrCat(run.revision + 1)}));
               DUNLIN_RETURN_IF_ERROR(run.Emit({.kind = "shard_split",
                                                .shard = shard.id,
                                                .new_value = request.child_shard_id(),
                                                .audit = false}));
               return run.Save();
             })
      .status();
}

absl::Status Store::CompleteShard(const agent_pb::CompleteShardRequest& request) {
  return Idempotent<agent_pb::CompleteShardRequest, agent_pb::CompleteShardResponse>(
             request,
             [&](Transaction& tx, agent_pb::CompleteShardResponse&) -> absl::Status {
               DUNLIN_ASSIGN_OR_RETURN(LockedShard shard,
                                       LockShard(tx, request.lease_id(), request.shard_id(),
                                                 request.epoch(), request.target()));
               RunEditor& run = shard.run;
               DUNLIN_ASSIGN_OR_RETURN(const bool same_upper,
                                       SameKey(shard.upper, request.has_upper(), request.upper()));
               if (!same_upper) {
                 // The ledger's shard ends elsewhere: there was a split that the store has not
                 // heard of.
                 DUNLIN_RETURN_IF_ERROR(RevokeLeases(tx, run, request.lease_id(),
                                                     "the ledger has another upper bound"));
                 agent_pb::Problem problem;
                 problem.set_kind(agent_pb::Problem::KIND_LEDGER_MISMATCH);
                 problem.set_message("a shard was done with another upper bound than the store's");
                 DUNLIN_RETURN_IF_ERROR(ApplyProblem(tx, run, problem, shard.id));
               } else {
                 const agent_pb::Checkpoint& at = request.checkpoint();
                 DUNLIN_RETURN_IF_ERROR(tx.Run(
                     sql::kCompleteShard,
                     {request.lease_id(), absl::StrCat(at.seq()), absl::StrCat(at.rows_done()),
                      absl::StrCat(at.rows_changed()), absl::StrCat(run.revision + 1)}));
                 DUNLIN_RETURN_IF_ERROR(
                     run.Emit({.kind = "shard_done", .shard = shard.id, .audit = false}));
                 run.reconciles = 0;
               }
               DUNLIN_RETURN_IF_ERROR(CheckCanary(tx, run));
               DUNLIN_RETURN_IF_ERROR(run.Settle());
               return run.Save();
             })
      .status();
}

absl::Status Store::ReleaseLeases(const agent_pb::ReleaseLeasesRequest& request) {
  return Idempotent<agent_pb::ReleaseLeasesRequest, agent_pb::ReleaseLeasesResponse>(
             request,
             [&](Transaction& tx, agent_pb::ReleaseLeasesResponse&) -> absl::Status {
               for (const agent_pb::ReleaseLeasesRequest::Release& release : request.releases()) {
                 DUNLIN_RETURN_IF_ERROR(ReleaseOne(tx, release));
               }
               return absl::OkStatus();
             })
      .status();
}

absl::Status Store::ReleaseOne(Transaction& tx,
                               const agent_pb::ReleaseLeasesRequest::Release& release) {
  absl::StatusOr<LockedShard> shard = LockShardOfLease(tx, release.lease_id(), release.target());
  if (shard.ok() && !shard->counts) return GiveBackUncounted(tx, *shard, release.lease_id());
  if (shard.ok()) {
    RunEditor& run = shard->run;
    if (release.has_checkpoint()) {
      const agent_pb::Checkpoint& at = release.checkpoint();
      DUNLIN_RETURN_IF_ERROR(
          tx.Run(sql::kCheckpoint,
                 {release.lease_id(), KeyToArray(at.has_cursor(), at.cursor()),
                  absl::StrCat(at.seq()), absl::StrCat(at.rows_done()),
                  absl::StrCat(at.rows_changed()), "0", "", absl::StrCat(run.revision + 1)}));
    }
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result troubles,
                            tx.Query(sql::kTroublesOfShard, {shard->id}));
    const bool transient = release.problem().kind() == agent_pb::Problem::KIND_TRANSIENT;
    const int64_t count = transient ? troubles.Int(0, 0) + 1 : 0;
    DUNLIN_RETURN_IF_ERROR(tx.Run(
        sql::kReleaseShard, {release.lease_id(), absl::StrCat(run.revision + 1),
                             DurationText(WaitAfter(release.problem(), count)), absl::StrCat(count),
                             transient ? release.problem().message() : ""}));
    DUNLIN_RETURN_IF_ERROR(run.Emit({.kind = "lease_released",
                                     .reason = release.problem().message(),
                                     .shard = shard->id,
                                     .audit = false}));
    DUNLIN_RETURN_IF_ERROR(ApplyProblem(tx, run, release.problem(), shard->id));
    DUNLIN_RETURN_IF_ERROR(CheckCanary(tx, run));
    DUNLIN_RETURN_IF_ERROR(run.Settle());
    return run.Save();
  }
  if (!absl::IsAborted(shard.status()) || MovedTargetOf(shard.status())) return shard.status();
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result peek, tx.Query(sql::kTaskByLease, {release.lease_id()}));
  if (peek.rows.empty())
    return absl::OkStatus();  // nobody's lease any more: released is what it is
  DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, peek.Text(0, 1)));
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result task, tx.Query(sql::kTaskByLease, {release.lease_id()}));
  if (task.rows.empty()) return absl::OkStatus();  // revoked meanwhile
  DUNLIN_ASSIGN_OR_RETURN(const bool counts, CheckReporter(tx, run, release.target()));
  DUNLIN_RETURN_IF_ERROR(tx.Run(
      sql::kReleaseTask,
      {release.lease_id(), DurationText(counts ? absl::ZeroDuration() : kLeftBehindWait), ""}));
  if (counts) DUNLIN_RETURN_IF_ERROR(ApplyProblem(tx, run, release.problem(), ""));
  DUNLIN_RETURN_IF_ERROR(run.Settle());
  return run.Save();
}

absl::Status Store::ApplyTaskResult(Transaction& tx, RunEditor& run, const pg::Result& task,
                                    const agent_pb::CompleteTaskRequest& request) {
  const std::string kind = task.Text(0, 2);
  const int step = static_cast<int>(task.Int(0, 3));
  const auto done = [&](int64_t found) {
    return tx.Run(sql::kTaskDone, {request.lease_id(), absl::StrCat(found)});
  };
  switch (request.result_case()) {
    case agent_pb::CompleteTaskRequest::kPreflight:
      if (!request.preflight().waiting_reason().empty()) {
        DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kReleaseTask, {request.lease_id(), "10", ""}));
        return run.SetReason(request.preflight().waiting_reason());
      }
      run.preflight_passed = true;
      DUNLIN_RETURN_IF_ERROR(tx.Run(
          sql::kSignal, {run.target, absl::StrCat(request.preflight().foreign_transactions())}));
      return done(0);
    case agent_pb::CompleteTaskRequest::kPlan:
      DUNLIN_RETURN_IF_ERROR(done(0));
      return ApplyPlan(tx, run, step, request.plan(), request.target());
    case agent_pb::CompleteTaskRequest::kVerify:
      return done(request.verify().found());
    case agent_pb::CompleteTaskRequest::kFinalize:
      DUNLIN_RETURN_IF_ERROR(done(0));
      if (request.finalize().finished() && run.kind == RunKind::kUndo)
        return FinishUndo(tx, run, request.finalize());
      if (request.finalize().finished()) return run.ChangeState(RunState::kFinished, {});
      run.finalize_phase = static_cast<int>(FinalizePhase::kVerify);
      return absl::OkStatus();
    case agent_pb::CompleteTaskRequest::kReconcile:
      DUNLIN_RETURN_IF_ERROR(done(0));
      return ApplyReconcile(tx, run, task, request.reconcile(), request.target());
    case agent_pb::CompleteTaskRequest::kQuarantine:
      DUNLIN_RETURN_IF_ERROR(done(0));
      return ApplyQuarantineTask(tx, run, task, request.quarantine());
    case agent_pb::CompleteTaskRequest::kBaseline:
      DUNLIN_RETURN_IF_ERROR(done(0));
      return run.ChangeState(RunState::kFinished, {.reason = run.note});
    case agent_pb::CompleteTaskRequest::kProblem: {
      const agent_pb::Problem& problem = request.problem();
      if (problem.kind() == agent_pb::Problem::KIND_LEDGER_MISMATCH &&
          DUNLIN_MUTANT("finalize_without_reconcile")) {
        return tx.Run(sql::kReleaseTask, {request.lease_id(), "0", ""});
      }
      if (problem.kind() == agent_pb::Problem::KIND_LEDGER_MISMATCH) {
        DUNLIN_RETURN_IF_ERROR(
            done(0));  // never a retry of the same task: reconcile, then what the facts ask for
      } else {
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result troubles,
                                tx.Query(sql::kTroublesOfTask, {request.lease_id()}));
        const absl::Duration wait = WaitAfter(problem, troubles.Int(0, 0));
        const bool transient = problem.kind() == agent_pb::Problem::KIND_TRANSIENT;
        const std::string waiting =
            transient ? absl::StrCat(kind, " is tried again: ", problem.message()) : "";
        DUNLIN_RETURN_IF_ERROR(
            tx.Run(sql::kReleaseTask, {request.lease_id(), DurationText(wait), waiting}));
        if (transient) return run.SetReason(waiting);
      }
      return ApplyProblem(tx, run, problem, "");
    }
    case agent_pb::CompleteTaskRequest::RESULT_NOT_SET:
      return absl::InvalidArgumentError("a task's result is missing");
  }
  return absl::OkStatus();
}

absl::Status Store::CompleteTask(const agent_pb::CompleteTaskRequest& request) {
  return Idempotent<agent_pb::CompleteTaskRequest, agent_pb::CompleteTaskResponse>(
             request,
             [&](Transaction& tx, agent_pb::CompleteTaskResponse&) -> absl::Status {
               DUNLIN_ASSIGN_OR_RETURN(const pg::Result peek,
                                       tx.Query(sql::kTaskByLease, {request.lease_id()}));
               if (peek.rows.empty()) return LeaseLost();
               DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, peek.Text(0, 1)));
               DUNLIN_ASSIGN_OR_RETURN(const pg::Result task,
                                       tx.Query(sql::kTaskByLease, {request.lease_id()}));
               if (task.rows.empty() || task.Text(0, 0) != request.task_id() ||
                   task.Int(0, 4) != request.task_epoch())
                 return LeaseLost();
               DUNLIN_ASSIGN_OR_RETURN(const bool counts, CheckReporter(tx, run, request.target()));
               if (!counts) return LeaseLost();
               const std::string kind = task.Text(0, 2);
               const bool wanted = run.MayHoldLeases();
               // A finish row that was written counts, whatever was asked meanwhile; a plan too, so
               // that its shards are known.
               const bool counts_anyway =
                   request.result_case() == agent_pb::CompleteTaskRequest::kFinalize &&
                   request.finalize().finished() && MayChange(run.state, RunState::kFinished);
               if (!wanted && !counts_anyway) {
                 if (request.result_case() == agent_pb::CompleteTaskRequest::kPlan)
                   run.reconcile_due = true;
                 DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kDropTaskOfLease, {request.lease_id()}));
               } else {
                 DUNLIN_RETURN_IF_ERROR(ApplyTaskResult(tx, run, task, request));
               }
               DUNLIN_RETURN_IF_ERROR(
                   run.Emit({.kind = "task_done", .new_value = kind, .audit = false}));
               DUNLIN_RETURN_IF_ERROR(run.Settle());
               return run.Save();
             })
      .status();
}

}  // namespace dunlin::coordinator
