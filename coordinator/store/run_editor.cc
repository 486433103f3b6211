#include "coordinator/store/run_editor.h"

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/log.h"
#include "common/migration/sql_template.h"
#include "common/migration/undo.h"
#include "common/pg/error.h"
#include "common/status_macros.h"
#include "coordinator/store/definition_cache.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

std::vector<std::string> ParameterNames(const Definition& definition) {
  std::vector<std::string> names;
  for (const ParameterDefinition& parameter : definition.parameters)
    names.push_back(parameter.name);
  return names;
}

bool VerifiesByRange(const Definition& definition, const StepDefinition& step) {
  const auto sql = SqlTemplate::Parse(step.verify->sql, ParameterNames(definition));
  return sql.ok() && sql->uses_batch();
}

}  // namespace

absl::StatusOr<RunEditor> RunEditor::Lock(Transaction& tx, const std::string& run_id) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result, tx.Query(sql::kLockRun, {run_id}));
  if (result.rows.empty()) return absl::NotFoundError(absl::StrCat("no run ", run_id));
  return Decode(tx, result);
}

absl::StatusOr<std::optional<RunEditor>> RunEditor::TryLock(Transaction& tx,
                                                            const std::string& run_id) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result, tx.Query(sql::kTryLockRun, {run_id}));
  if (result.rows.empty()) return std::optional<RunEditor>();
  DUNLIN_ASSIGN_OR_RETURN(RunEditor run, Decode(tx, result));
  return std::optional<RunEditor>(std::move(run));
}

absl::StatusOr<RunEditor> RunEditor::Decode(Transaction& tx, const pg::Result& row) {
  RunEditor run(tx);
  run.id = row.Text(0, 0);
  run.migration = row.Text(0, 1);
  run.target = row.Text(0, 2);
  run.digest = row.Text(0, 3);
  run.definition_bytes = absl::HexStringToBytes(row.Text(0, 4));
  run.parameters_json = row.Text(0, 5);
  run.operator_name = row.Text(0, 6);
  run.started_at_text = row.Text(0, 7);
  const std::optional<RunState> state = RunStateFromText(row.Text(0, 8));
  if (!state)
    return absl::DataLossError(absl::StrCat(
        "run ", run.id, " has an unknown state; the store is newer than this coordinator"));
  run.state = *state;
  run.reason = row.Text(0, 9);
  run.throttled_reason = row.Text(0, 10);
  run.error = row.Text(0, 11);
  run.revision = row.Int(0, 12);
  run.steps = static_cast<int>(row.Int(0, 13));
  run.step = static_cast<int>(row.Int(0, 14));
  run.planned_steps = static_cast<int>(row.Int(0, 15));
  run.planned_timeline = static_cast<int>(row.Int(0, 16));
  run.finalize_phase = static_cast<int>(row.Int(0, 17));
  run.reconciles = static_cast<int>(row.Int(0, 18));
  run.task_epoch = row.Int(0, 19);
  run.preflight_passed = row.Bool(0, 20);
  run.reconcile_due = row.Bool(0, 21);
  run.pressure_seen = row.Bool(0, 22);
  run.concurrency_limit = static_cast<int>(row.Int(0, 23));
  run.concurrency_allowed = static_cast<int>(row.Int(0, 24));
  if (!absl::SimpleAtod(row.Text(0, 25), &run.concurrency_age_seconds))
    run.concurrency_age_seconds = 0;
  run.rows_per_second = row.Int(0, 26);
  run.batch_time_ms = row.Int(0, 27);
  run.pause_ms = row.Int(0, 28);
  run.stop_after_rows = row.Int(0, 29);
  run.stop_after_base = row.Int(0, 30);
  run.rows_total = row.Int(0, 31);
  run.retries_asked = row.Int(0, 32);
  run.retries_done = row.Int(0, 33);
  run.rows_retried = row.Int(0, 34);
  const std::optional<RunKind> kind = RunKindFromText(row.Text(0, 35));
  if (!kind)
    return absl::DataLossError(absl::StrCat(
        "run ", run.id, " is of an unknown kind; the store is newer than this coordinator"));
  run.kind = *kind;
  run.follows = row.IsNull(0, 36) ? "" : row.Text(0, 36);
  run.note = row.Text(0, 37);
  run.paused_with_all = row.Bool(0, 38);
  run.as_read_ = run.Row();
  return run;
}

absl::StatusOr<const Definition*> RunEditor::definition() const {
  if (definition_ == nullptr) {
    DUNLIN_ASSIGN_OR_RETURN(definition_, ParsedBefore(migration + ".yaml", definition_bytes));
    if (kind == RunKind::kUndo)
      definition_ = std::make_shared<const Definition>(MakeUndo(*definition_));
  }
  return definition_.get();
}

absl::Status RunEditor::Emit(const EventText& event) {
  return tx_->Run(sql::kInsertEvent,
                  {id, absl::StrCat(NextRevision()), event.kind, event.actor, event.reason,
                   event.peer, event.shard, event.old_value, event.new_value, Bool(event.audit)});
}

absl::Status RunEditor::ChangeState(RunState to, const EventText& why) {
  if (state == to) return absl::OkStatus();
  if (!MayChange(state, to)) {
    return absl::InternalError(
        absl::StrCat("run ", id, " cannot go from ", ToText(state), " to ", ToText(to)));
  }
  EventText event = why;
  event.kind = "run_state_changed";
  event.old_value = ToText(state);
  event.new_value = ToText(to);
  if (event.reason.empty()) event.reason = std::string(TransitionReason(state, to));
  DUNLIN_RETURN_IF_ERROR(Emit(event));
  LOG(INFO) << Event("run_state_changed")
                   .Kv("run", id)
                   .Kv("migration", migration)
                   .Kv("from", ToText(state))
                   .Kv("to", ToText(to));
  if (state == RunState::kFinished) DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kMarkUnfinished, {id}));
  state = to;
  if (to != RunState::kRunning) throttled_reason.clear();
  if (to == RunState::kPending) paused_with_all = false;
  switch (to) {
    case RunState::kPlanning:
      return tx_->Run(sql::kMarkStarted, {id});
    case RunState::kRunning:
      reason.clear();
      concurrency_allowed = 1;
      DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kForgetPace, {id}));
      return tx_->Run(sql::kMarkWorking, {id});
    case RunState::kFinalizing:
      reason.clear();
      finalize_phase = 0;
      return tx_->Run(sql::kDropVerifyTasks, {id});
    case RunState::kFinished:
      reason.clear();
      error.clear();
      DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kDropOpenTasks, {id}));
      DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kMarkFinished, {id}));
      return tx_->Run(sql::kMarkConfirmed, {id});  // an agent read or wrote it there just now
    case RunState::kCancelled:
      DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kMarkFinished, {id}));
      return tx_->Run(sql::kDropOpenTasks, {id});
    case RunState::kPausing:
    case RunState::kPaused:
    case RunState::kCancelling:
    case RunState::kFailed:
      return tx_->Run(sql::kDropOpenTasks, {id});
    case RunState::kPending:
      // What was due when it failed is asked for anew, after the preflight.
      return tx_->Run(sql::kDropOpenTasks, {id});
  }
  return absl::OkStatus();
}

absl::Status RunEditor::SetReason(const std::string& to) {
  if (reason == to) return absl::OkStatus();
  const std::string from = std::exchange(reason, to);
  return Emit({.kind = "reason_changed", .old_value = from, .new_value = to, .audit = false});
}

absl::Status RunEditor::SetThrottledReason(const std::string& to) {
  if (throttled_reason == to) return absl::OkStatus();
  const std::string from = std::exchange(throttled_reason, to);
  return Emit(
      {.kind = "throttled_reason_changed", .old_value = from, .new_value = to, .audit = false});
}

absl::StatusOr<std::string> RunEditor::QuarantineReasons() {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx_->Query(sql::kQuarantineReasons, {id}));
  std::vector<std::string> reasons;
  for (size_t row = 0; row < found.rows.size(); ++row) {
    const std::string& constraint = found.Text(row, 1);
    const std::string& table = found.Text(row, 2);
    reasons.push_back(
        absl::StrCat(found.Int(row, 3), " × ", pg::DescribeSqlState(found.Text(row, 0)),
                     constraint.empty() ? "" : absl::StrCat(" of constraint ", constraint),
                     table.empty() ? "" : absl::StrCat(" on table ", table)));
  }
  return absl::StrJoin(reasons, "; ");
}

absl::Status RunEditor::PauseWithError(const std::string& what) {
  error = what;
  DUNLIN_RETURN_IF_ERROR(Emit({.kind = "problem", .reason = what}));
  if (!MayChange(state, RunState::kPausing)) return absl::OkStatus();
  reason = "paused by a problem";
  return ChangeState(RunState::kPausing, {.reason = what});
}

absl::Status RunEditor::FailWithError(const std::string& what) {
  error = what;
  DUNLIN_RETURN_IF_ERROR(Emit({.kind = "problem", .reason = what}));
  if (!MayChange(state, RunState::kFailed)) return absl::OkStatus();
  reason.clear();
  return ChangeState(RunState::kFailed, {.reason = what});
}

absl::StatusOr<RunFacts> RunEditor::ReadFacts() {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result counted,
                          tx_->Query(sql::kRunFacts, {id, absl::StrCat(step)}));
  RunFacts facts{.state = state,
                 .steps = steps,
                 .step = step,
                 .planned_steps = planned_steps,
                 .undone_shards = counted.Int(0, 0),
                 .open_leases = counted.Int(0, 1),
                 .reconcile_due = reconcile_due,
                 .task_open = counted.Int(0, 2) > 0,
                 .finalize_phase = static_cast<FinalizePhase>(finalize_phase),
                 .verify_found = counted.Int(0, 4),
                 .verify_tasks = counted.Int(0, 3),
                 .quarantined = counted.Int(0, 5),
                 .accepted_rows = counted.Int(0, 7),
                 .quarantine_due = retries_asked > retries_done || counted.Int(0, 6) > 0,
                 .preflight_passed = preflight_passed,
                 .baseline = kind == RunKind::kBaseline};
  if (state == RunState::kFinalizing) {
    DUNLIN_ASSIGN_OR_RETURN(const Definition* parsed, definition());
    for (const StepDefinition& part : parsed->steps)
      facts.has_verify = facts.has_verify || part.verify.has_value();
  }
  if (state == RunState::kPending) {
    DUNLIN_ASSIGN_OR_RETURN(const Definition* parsed, definition());
    DUNLIN_ASSIGN_OR_RETURN(const RunWait wait, kind != RunKind::kApply
                                                    ? WaitForAgent(*tx_, target)
                                                    : WhatRunWaitsFor(*tx_, id, target, *parsed));
    facts.waits_for = wait.sentence;
  }
  return facts;
}

absl::Status RunEditor::CreateTask(TaskKind task, bool finish) {
  const int64_t retry =
      task == TaskKind::kQuarantine && retries_asked > retries_done ? retries_asked : 0;
  return tx_->Run(sql::kInsertTask,
                  {id, ToText(task), absl::StrCat(step), Bool(finish), absl::StrCat(retry)});
}

absl::Status RunEditor::CreateVerifyTasks() {
  DUNLIN_ASSIGN_OR_RETURN(const Definition* parsed, definition());
  DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kDropVerifyTasks, {id}));
  int64_t created = 0;
  for (size_t i = 0; i < parsed->steps.size(); ++i) {
    const StepDefinition& part = parsed->steps[i];
    if (!part.verify) continue;
    const std::string at = absl::StrCat(i);
    if (!VerifiesByRange(*parsed, part)) {
      DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kInsertVerifyTask, {id, at, ""}));
      ++created;
      continue;
    }
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result shards, tx_->Query(sql::kShardsOfStep, {id, at}));
    for (size_t row = 0; row < shards.rows.size(); ++row) {
      DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kInsertVerifyTask, {id, at, shards.Text(row, 0)}));
      ++created;
    }
  }
  // Empty tables have no shards and so nothing to verify.
  if (created == 0) finalize_phase = static_cast<int>(FinalizePhase::kFinish);
  return absl::OkStatus();
}

absl::Status RunEditor::Apply(const RunStepDecision& decision, const RunFacts& facts, bool& again) {
  using Kind = RunStepDecision::Kind;
  again = true;
  switch (decision.kind) {
    case Kind::kNothing:
      again = false;
      return absl::OkStatus();
    case Kind::kShowWaiting:
      again = false;
      // When the wait is over the target is looked at anew.
      preflight_passed = false;
      if (facts.task_open) DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kDropOpenTasks, {id}));
      return SetReason(facts.waits_for);
    case Kind::kChangeState:
      if (state == RunState::kPending) reason.clear();
      return ChangeState(decision.state, {});
    case Kind::kCreateTask:
      again = false;
      return CreateTask(decision.task, decision.finish);
    case Kind::kCreateVerifyTasks:
      return CreateVerifyTasks();
    case Kind::kNextStep:
      ++step;
      return Emit({.kind = "step_started", .new_value = absl::StrCat(step + 1), .audit = false});
    case Kind::kSetFinalizePhase:
      finalize_phase = static_cast<int>(decision.phase);
      return absl::OkStatus();
    case Kind::kPauseVerifyFound:
      finalize_phase = static_cast<int>(FinalizePhase::kCoverage);
      DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kDropVerifyTasks, {id}));
      return PauseWithError(absl::StrCat(
          "verify found ", facts.verify_found,
          facts.accepted_rows > 0
              ? absl::StrCat(", and ", facts.accepted_rows, " rows are accepted as they are")
              : "",
          "; look at those rows, mend them or the migration, then resume, which verifies again"));
    case Kind::kPauseQuarantined: {
      DUNLIN_ASSIGN_OR_RETURN(const std::string reasons, QuarantineReasons());
      return PauseWithError(absl::StrCat(
          steps > step + 1 ? absl::StrCat("step ", step + 1, " is done") : "everything is done",
          " but rows that are set aside: ", reasons, ". See them: dunlin quarantine list ",
          migration,
          "; then mend them and `dunlin quarantine retry`, or leave them as they are: "
          "`dunlin quarantine accept --reason WHY`"));
    }
  }
  return absl::OkStatus();
}

absl::Status RunEditor::Settle() {
  // Each round changes something: the step (a reconcile begins at the first again), or the state.
  constexpr int kMaxRoundsBesideSteps = 32;
  for (int round = 0; round < steps + kMaxRoundsBesideSteps; ++round) {
    DUNLIN_ASSIGN_OR_RETURN(const RunFacts facts, ReadFacts());
    bool again = false;
    DUNLIN_RETURN_IF_ERROR(Apply(DecideNext(facts), facts, again));
    if (!again) return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat("run ", id, " does not settle"));
}

std::vector<pg::Value> RunEditor::Row() const {
  return {id,
          ToText(state),
          reason,
          throttled_reason,
          error,
          absl::StrCat(revision),
          absl::StrCat(step),
          absl::StrCat(planned_steps),
          absl::StrCat(planned_timeline),
          absl::StrCat(finalize_phase),
          absl::StrCat(reconciles),
          absl::StrCat(task_epoch),
          Bool(preflight_passed),
          Bool(reconcile_due),
          Bool(pressure_seen),
          absl::StrCat(concurrency_allowed),
          Bool(concurrency_changed),
          absl::StrCat(stop_after_rows),
          absl::StrCat(stop_after_base),
          absl::StrCat(rows_total),
          absl::StrCat(retries_asked),
          absl::StrCat(retries_done),
          absl::StrCat(rows_retried),
          Bool(paused_with_all)};
}

absl::Status RunEditor::Save() {
  std::vector<pg::Value> row = Row();
  if (row == as_read_) return absl::OkStatus();  // a sweep of a quiet run writes nothing
  DUNLIN_RETURN_IF_ERROR(tx_->Run(sql::kSaveRun, row));
  as_read_ = std::move(row);
  return absl::OkStatus();
}

}  // namespace dunlin::coordinator
