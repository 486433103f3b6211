#include "agent/control/proto_convert.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

OptionalKey KeyFrom(bool present, const pb::Key& key) {
  if (!present) return std::nullopt;
  return KeyText({key.column_text().begin(), key.column_text().end()});
}

RunSpec RunFrom(const pb::RunSpec& run) {
  return RunSpec{
      .id = RunId(run.run_id()),
      .migration = run.migration(),
      .target = run.target(),
      .digest = run.digest(),
      .definition = run.definition(),
      .parameters = {run.parameters().begin(), run.parameters().end()},
      .started_at = run.started_at(),
      .store_id = run.store_id(),
      .store_name = run.store_name(),
      .planned_timeline = run.planned_timeline(),
      .kind = run.kind() == pb::RunSpec::KIND_UNDO ? RunSpec::Kind::kUndo : RunSpec::Kind::kApply,
      .follows = RunId(run.follows_run_id())};
}

ShardWork ShardFrom(const pb::ShardLease& shard) {
  return ShardWork{.id = ShardId(shard.shard_id()),
                   .step = shard.step(),
                   .relation = shard.relation(),
                   .lower = KeyFrom(shard.has_lower(), shard.lower()),
                   .upper = KeyFrom(shard.has_upper(), shard.upper()),
                   .epoch = Epoch(shard.epoch()),
                   .rows_total = shard.rows_total()};
}

absl::StatusOr<TaskKind> KindFrom(pb::TaskKind kind) {
  switch (kind) {
    case pb::TASK_KIND_PREFLIGHT:
      return TaskKind::kPreflight;
    case pb::TASK_KIND_PLAN:
      return TaskKind::kPlan;
    case pb::TASK_KIND_VERIFY:
      return TaskKind::kVerify;
    case pb::TASK_KIND_FINALIZE:
      return TaskKind::kFinalize;
    case pb::TASK_KIND_RECONCILE:
      return TaskKind::kReconcile;
    case pb::TASK_KIND_QUARANTINE:
      return TaskKind::kQuarantine;
    case pb::TASK_KIND_BASELINE:
      return TaskKind::kBaseline;
    default:
      return absl::InvalidArgumentError(
          "this agent does not know such a task; it is older than its coordinator");
  }
}

pb::Problem::Kind KindOf(Problem::Kind kind) {
  switch (kind) {
    case Problem::Kind::kNone:
      return pb::Problem::KIND_NONE;
    case Problem::Kind::kTransient:
      return pb::Problem::KIND_TRANSIENT;
    case Problem::Kind::kData:
      return pb::Problem::KIND_DATA;
    case Problem::Kind::kDefinition:
      return pb::Problem::KIND_DEFINITION;
    case Problem::Kind::kLedgerMismatch:
      return pb::Problem::KIND_LEDGER_MISMATCH;
    case Problem::Kind::kStaleEpoch:
      return pb::Problem::KIND_STALE_EPOCH;
    case Problem::Kind::kStoreRefused:
      return pb::Problem::KIND_STORE_REFUSED;
    case Problem::Kind::kPause:
      return pb::Problem::KIND_PAUSE;
    case Problem::Kind::kPermission:
      return pb::Problem::KIND_PERMISSION;
  }
  return pb::Problem::KIND_NONE;
}

void ShardToProto(const LedgerShard& shard, pb::LedgerShard* out) {
  out->set_shard_id(shard.id.value());
  out->set_step(shard.step);
  out->set_relation(shard.relation);
  if (shard.lower) ToProto(*shard.lower, out->mutable_lower());
  if (shard.upper) ToProto(*shard.upper, out->mutable_upper());
  out->set_epoch(shard.epoch.value());
  out->set_seq(shard.checkpoint.seq);
  if (shard.checkpoint.cursor) ToProto(*shard.checkpoint.cursor, out->mutable_cursor());
  out->set_rows_done(shard.checkpoint.rows_done);
  out->set_rows_changed(shard.checkpoint.rows_changed);
  out->set_done(shard.done);
  out->set_rows_total(shard.rows_total);
}

void ToProto(const absl::Time time, google::protobuf::Timestamp* out) {
  const absl::Time second = absl::FromUnixSeconds(absl::ToUnixSeconds(time));
  out->set_seconds(absl::ToUnixSeconds(time));
  out->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(time - second)));
}

void ToProto(const QuarantineResult& quarantine, pb::QuarantineResult* out) {
  for (const QuarantinedRow& row : quarantine.rows) ToProto(row, out->add_rows());
  out->set_rows_retried(quarantine.rows_retried);
}

}  // namespace

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

WorkLimits FromProto(const pb::WorkLimits& limits) {
  WorkLimits out;
  out.rows_per_second = limits.rows_per_second();
  if (limits.has_batch_time_duration()) out.batch_time = FromProto(limits.batch_time_duration());
  out.pause = FromProto(limits.pause_duration());
  out.rows_left = limits.rows_left();
  if (limits.duty() > 0 && limits.duty() < 1) out.duty = limits.duty();
  return out;
}

SignalDuty FromProto(const pb::SignalDuty& duty) {
  SignalDuty out{.target = duty.target()};
  for (const pb::SignalDuty::Run& run : duty.runs()) {
    out.runs.push_back({.run = RunFrom(run.run()),
                        .tables = {run.table().begin(), run.table().end()},
                        .throttled_reason = run.throttled_reason()});
  }
  return out;
}

void ToProto(const SignalReport& report, pb::TargetSignals* out) {
  // Longer than a day is as long as ever.
  const absl::Duration alone = std::min(report.alone, absl::Hours(24));
  out->mutable_alone_duration()->set_seconds(absl::ToInt64Seconds(alone));
  out->set_deadlock_timeout_ms(absl::ToInt64Milliseconds(report.deadlock_timeout));
  for (const SignalSample& sample : report.samples) {
    pb::SignalSample* to = out->add_samples();
    to->set_signal(InfoOf(sample.kind).name);
    to->set_subject(sample.subject);
    to->set_value(sample.value);
    to->set_baseline(sample.baseline);
    to->set_typical(sample.typical);
    to->set_not_measured(sample.not_measured);
  }
}

absl::StatusOr<Lease> FromProto(const pb::Lease& lease) {
  Lease out{.id = LeaseId(lease.lease_id()),
            .run = RunFrom(lease.run()),
            .target = {.target = lease.target().target(),
                       .system_identifier = lease.target().system_identifier(),
                       .timeline = lease.target().timeline()},
            .duration = FromProto(lease.lease_duration()),
            .limits = FromProto(lease.limits())};
  if (lease.has_shard()) {
    out.work = ShardFrom(lease.shard());
    return out;
  }
  if (!lease.has_task()) return absl::InvalidArgumentError("a lease without work");
  const pb::TaskLease& task = lease.task();
  TaskWork work{.id = TaskId(task.task_id()),
                .step = task.step(),
                .task_epoch = Epoch(task.task_epoch()),
                .finish = task.finish(),
                .shards_known = task.shards_known(),
                .shards_max = task.shards_max(),
                .retry = task.retry(),
                .note = task.note()};
  for (const pb::TaskLease::Acceptance& accept : task.accept()) {
    work.accept.push_back({.quarantine_id = accept.quarantine_id(),
                           .by = accept.operator_name(),
                           .reason = accept.reason()});
  }
  DUNLIN_ASSIGN_OR_RETURN(work.kind, KindFrom(task.kind()));
  if (task.has_shard()) work.shard = ShardFrom(task.shard());
  out.work = std::move(work);
  return out;
}

Directive FromProto(const pb::LeaseDirective& directive) {
  Directive out{.lease = LeaseId(directive.lease_id()),
                .duration = FromProto(directive.lease_duration()),
                .limits = FromProto(directive.limits())};
  switch (directive.action()) {
    case pb::LeaseDirective::ACTION_STOP:
      out.action = Directive::Action::kStop;
      break;
    case pb::LeaseDirective::ACTION_LOST:
      out.action = Directive::Action::kLost;
      break;
    case pb::LeaseDirective::ACTION_SPLIT:
      out.action = Directive::Action::kSplit;
      break;
    default:  // RENEW, and what only newer agents know
      out.action = Directive::Action::kRenew;
      break;
  }
  return out;
}

absl::StatusOr<TargetTask> FromProto(const pb::TargetTask& task) {
  TargetTask out{.id = task.task_id(),
                 .target = task.target(),
                 .store_id = task.store_id(),
                 .store_name = task.store_name(),
                 .request = ConfirmRuns()};
  switch (task.request_case()) {
    case pb::TargetTask::kConfirmRuns:
      return out;
    case pb::TargetTask::kForgetRun:
      out.request = ForgetRun{.run = RunId(task.forget_run().run_id())};
      return out;
    case pb::TargetTask::kLookForSchemaLocks: {
      const auto& tables = task.look_for_schema_locks().table();
      out.request = LookForSchemaLocks{.tables = {tables.begin(), tables.end()}};
      return out;
    }
    case pb::TargetTask::kAdoptTarget:
      out.request = AdoptTarget{.by = task.adopt_target().operator_name(),
                                .reason = task.adopt_target().reason()};
      return out;
    case pb::TargetTask::kReadRuns:
      out.request =
          ReadRuns{.ids = {task.read_runs().run_ids().begin(), task.read_runs().run_ids().end()}};
      return out;
    case pb::TargetTask::REQUEST_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "this agent does not know such a question; it is older than its coordinator");
}

void ToProto(const KeyText& key, pb::Key* out) {
  for (const std::string& column : key.Reveal()) out->add_column_text(column);
}

void ToProto(const Checkpoint& checkpoint, pb::Checkpoint* out) {
  if (checkpoint.cursor) ToProto(*checkpoint.cursor, out->mutable_cursor());
  out->set_seq(checkpoint.seq);
  out->set_rows_done(checkpoint.rows_done);
  out->set_rows_changed(checkpoint.rows_changed);
}

void ToProto(const Problem& problem, pb::Problem* out) {
  out->set_kind(KindOf(problem.kind));
  out->set_message(problem.message);
  out->set_sqlstate(problem.sqlstate);
  out->set_table(problem.table);
  out->set_constraint(problem.constraint);
  if (problem.key_from) ToProto(*problem.key_from, out->mutable_key_from());
  if (problem.key_to) ToProto(*problem.key_to, out->mutable_key_to());
  out->set_ledger_epoch(problem.ledger_epoch.value());
}

void ToProto(const QuarantinedRow& row, pb::QuarantinedRow* out) {
  out->set_quarantine_id(row.id);
  out->set_shard_id(row.shard.value());
  out->set_step(row.step);
  out->set_relation(row.relation);
  out->mutable_key_column()->Assign(row.key_columns.begin(), row.key_columns.end());
  ToProto(row.key, out->mutable_key());
  out->set_rows(row.rows);
  out->set_sqlstate(row.sqlstate);
  out->set_constraint(row.constraint);
  out->set_table(row.table);
  out->set_tries(row.tries);
  out->set_accepted(row.accepted);
  out->set_accepted_by(row.accepted_by);
  out->set_accepted_reason(row.accepted_reason);
  ToProto(row.failed_at, out->mutable_fail_time());
  ToProto(row.tried_at, out->mutable_try_time());
}

void ToProto(const TargetIdentity& identity, pb::TargetIdentity* out) {
  out->set_target(identity.target);
  out->set_system_identifier(identity.system_identifier);
  out->set_timeline(identity.timeline);
}

void ToProto(const TaskResult& result, pb::CompleteTaskRequest* out) {
  if (const auto* preflight = std::get_if<PreflightResult>(&result)) {
    out->mutable_preflight()->set_waiting_reason(preflight->waiting_reason);
    out->mutable_preflight()->set_foreign_transactions(preflight->foreign_transactions);
  } else if (const auto* plan = std::get_if<PlanResult>(&result)) {
    for (const LedgerShard& shard : plan->shards)
      ShardToProto(shard, out->mutable_plan()->add_shards());
    out->mutable_plan()->set_rows_total(plan->rows_total);
  } else if (const auto* verify = std::get_if<VerifyResult>(&result)) {
    out->mutable_verify()->set_found(verify->found);
  } else if (const auto* finalize = std::get_if<FinalizeResult>(&result)) {
    out->mutable_finalize()->set_finished(finalize->finished);
    out->mutable_finalize()->set_rows_left(finalize->rows_left);
    out->mutable_finalize()->mutable_some_left()->Assign(finalize->some_left.begin(),
                                                         finalize->some_left.end());
  } else if (const auto* reconcile = std::get_if<ReconcileResult>(&result)) {
    for (const LedgerShard& shard : reconcile->shards)
      ShardToProto(shard, out->mutable_reconcile()->add_shards());
    out->mutable_reconcile()->set_run_known(reconcile->run_known);
    out->mutable_reconcile()->set_finished(reconcile->finished);
    ToProto(reconcile->quarantine, out->mutable_reconcile()->mutable_quarantine());
  } else if (const auto* quarantine = std::get_if<QuarantineResult>(&result)) {
    ToProto(*quarantine, out->mutable_quarantine());
  } else if (std::holds_alternative<BaselineResult>(result)) {
    out->mutable_baseline();
  } else if (const auto* problem = std::get_if<Problem>(&result)) {
    ToProto(*problem, out->mutable_problem());
  }
}

void ToProto(const AdoptedTarget& adopted, pb::AdoptTargetResult* out) {
  out->set_former_store_id(adopted.former_store_id);
  out->set_former_store_name(adopted.former_store_name);
  for (const AdoptedTarget::Run& run : adopted.runs) {
    pb::AdoptTargetResult::Run* to = out->add_runs();
    to->set_run_id(run.id);
    to->set_migration(run.name);
    to->set_outcome(run.outcome);
  }
}

void ToProto(const LedgerRun& run, pb::ReadRunsResult::Run* out) {
  out->set_run_id(run.id);
  out->set_migration(run.name);
  out->set_digest(run.digest);
  out->set_definition(run.definition);
  out->set_parameters(run.parameters_json);
  out->set_started_at(run.started_at);
  out->set_outcome(run.outcome);
  out->set_finish_age_seconds(run.finish_age_seconds);
  out->set_undoes_run_id(run.undoes);
  out->set_supersedes(run.supersedes);
  out->set_note(run.note);
  out->set_task_epoch(run.task_epoch);
  out->set_rows_left(run.rows_left);
  out->set_rows_total(run.rows_total);
  out->set_rows_changed(run.rows_changed);
  out->set_forgotten(run.forgotten);
}

void ToProto(const TargetTaskResult& result, pb::CompleteTargetTaskRequest* out) {
  if (const auto* confirmed = std::get_if<ConfirmedRuns>(&result)) {
    out->mutable_confirm_runs()->set_truncated(confirmed->truncated);
    for (const ConfirmedRun& run : confirmed->runs) {
      pb::ConfirmRunsResult::ConfirmedRun* to = out->mutable_confirm_runs()->add_runs();
      to->set_run_id(run.id.value());
      to->set_outcome(run.outcome);
      to->set_finish_age_seconds(run.finish_age_seconds);
    }
  } else if (const auto* forgotten = std::get_if<ForgottenRun>(&result)) {
    out->mutable_forget_run()->set_images(forgotten->images);
    out->mutable_forget_run()->set_shards(forgotten->shards);
  } else if (const auto* locks = std::get_if<SchemaLocks>(&result)) {
    pb::SchemaLocksResult* found = out->mutable_schema_locks();
    for (const SchemaLock& lock : *locks) {
      pb::SchemaLocksResult::SchemaLock* to = found->add_locks();
      to->set_text(lock.text);
      to->set_pid(lock.pid);
      to->set_application_name(lock.application_name);
    }
  } else if (const auto* adopted = std::get_if<AdoptedTarget>(&result)) {
    ToProto(*adopted, out->mutable_adopt_target());
  } else if (const auto* read = std::get_if<LedgerRuns>(&result)) {
    out->mutable_read_runs();
    for (const LedgerRun& run : read->runs) ToProto(run, out->mutable_read_runs()->add_runs());
  } else if (const auto* problem = std::get_if<Problem>(&result)) {
    ToProto(*problem, out->mutable_problem());
  }
}

}  // namespace dunlin::agent
