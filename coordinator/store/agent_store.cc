// Registering, granting leases, heartbeats.
#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"

#include "common/fault.h"
#include "common/limits.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/logic/pace.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/pace_internal.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

absl::Status UnknownAgent() {
  return WithReason(absl::NotFoundError("this agent is not registered with this store"),
                    "AGENT_UNKNOWN");
}

agent_pb::TaskKind TaskKindOf(const std::string& kind) {
  if (kind == "preflight") return agent_pb::TASK_KIND_PREFLIGHT;
  if (kind == "plan") return agent_pb::TASK_KIND_PLAN;
  if (kind == "verify") return agent_pb::TASK_KIND_VERIFY;
  if (kind == "finalize") return agent_pb::TASK_KIND_FINALIZE;
  if (kind == "reconcile") return agent_pb::TASK_KIND_RECONCILE;
  if (kind == "quarantine") return agent_pb::TASK_KIND_QUARANTINE;
  if (kind == "baseline") return agent_pb::TASK_KIND_BASELINE;
  return agent_pb::TASK_KIND_UNSPECIFIED;
}

absl::Status SetKey(const pg::Value& array, agent_pb::Key* (agent_pb::ShardLease::*mutable_key)(),
                    agent_pb::ShardLease* lease) {
  if (!array) return absl::OkStatus();
  std::vector<std::string> columns;
  DUNLIN_RETURN_IF_ERROR(ArrayToColumns(array, columns));
  (lease->*mutable_key)()->mutable_column_text()->Assign(columns.begin(), columns.end());
  return absl::OkStatus();
}

// Columns from `at`: id, [step,] relation, lower, upper, epoch, rows_total.
absl::Status FillShard(const pg::Result& result, size_t row, size_t id_at, size_t relation_at,
                       int step, agent_pb::ShardLease* lease) {
  const std::vector<pg::Value>& columns = result.rows[row];
  lease->set_shard_id(result.Text(row, id_at));
  lease->set_step(step);
  lease->set_relation(columns[relation_at].value_or(""));
  DUNLIN_RETURN_IF_ERROR(
      SetKey(columns[relation_at + 1], &agent_pb::ShardLease::mutable_lower, lease));
  DUNLIN_RETURN_IF_ERROR(
      SetKey(columns[relation_at + 2], &agent_pb::ShardLease::mutable_upper, lease));
  lease->set_epoch(result.Int(row, relation_at + 3));
  lease->set_rows_total(result.Int(row, relation_at + 4));
  return absl::OkStatus();
}

struct RunWork {
  int64_t leased = 0;
  int64_t undone = 0;
  int64_t rows_done = 0;
  // What the pace allows at present; absent before it was first decided.
  std::optional<absl::Duration> batch_time;
  double duty = 1;
  double wal_rows_per_second = 0;  // 0 = no limit
};

absl::StatusOr<RunWork> ReadWork(Transaction& tx, const RunEditor& run) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result counted,
                          tx.Query(sql::kLeasesInWork, {run.id, absl::StrCat(run.step)}));
  RunWork work{.leased = counted.Int(0, 0), .undone = counted.Int(0, 1)};
  if (!counted.IsNull(0, 2)) {
    work.batch_time = absl::Milliseconds(counted.Int(0, 2));
    work.duty = Number(counted.rows[0][3]);
  }
  work.duty *= Number(counted.rows[0][4]);
  work.wal_rows_per_second = Number(counted.rows[0][5]);
  if (run.stop_after_rows > 0) {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result rows, tx.Query(sql::kRowsDone, {run.id}));
    work.rows_done = rows.Int(0, 0);
  }
  return work;
}

int64_t CanaryRowsLeft(const RunEditor& run, const RunWork& work) {
  return run.stop_after_rows - (work.rows_done - run.stop_after_base);
}

// Of two limits; 0 = none.
double Slower(int64_t rows_per_second, double other) {
  const auto rows = static_cast<double>(rows_per_second);
  return rows > 0 && other > 0 ? std::min(rows, other) : std::max(rows, other);
}

void FillLimits(const RunEditor& run, const RunWork& work, agent_pb::WorkLimits* limits) {
  limits->set_rows_per_second(ShareOfRate(Slower(run.rows_per_second, work.wal_rows_per_second),
                                          run.concurrency_allowed, work.undone));
  const absl::Duration batch_time = absl::Milliseconds(run.batch_time_ms);
  SetDuration(std::min(batch_time, work.batch_time.value_or(batch_time)),
              limits->mutable_batch_time_duration());
  limits->set_duty(work.duty);
  SetDuration(absl::Milliseconds(run.pause_ms), limits->mutable_pause_duration());
  if (run.stop_after_rows > 0) {
    const int64_t parts = std::max<int64_t>(1, work.leased);
    limits->set_rows_left(std::max<int64_t>(1, (CanaryRowsLeft(run, work) + parts - 1) / parts));
  }
}

}  // namespace

absl::Status FillDirectiveLimits(Transaction& tx, const RunEditor& run,
                                 agent_pb::WorkLimits* limits) {
  DUNLIN_ASSIGN_OR_RETURN(const RunWork work, ReadWork(tx, run));
  FillLimits(run, work, limits);
  return absl::OkStatus();
}

// Runs that waited for an agent have one now; the sweep would see it a moment later.
absl::Status Store::SettlePendingRuns(Transaction& tx, const std::string& targets) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result pending,
                          tx.Query(sql::kPendingRunsOfTargets, {targets}));
  for (size_t row = 0; row < pending.rows.size(); ++row) {
    DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, pending.Text(row, 0)));
    DUNLIN_RETURN_IF_ERROR(run.Settle());
    DUNLIN_RETURN_IF_ERROR(run.Save());
  }
  return absl::OkStatus();
}

absl::StatusOr<agent_pb::RegisterAgentResponse> Store::RegisterAgent(
    const agent_pb::RegisterAgentRequest& request) {
  return Idempotent<agent_pb::RegisterAgentRequest, agent_pb::RegisterAgentResponse>(
      request, [&](Transaction& tx, agent_pb::RegisterAgentResponse& response) -> absl::Status {
        const std::string targets =
            pg::EncodeTextArray({request.targets().begin(), request.targets().end()});
        DUNLIN_ASSIGN_OR_RETURN(
            const pg::Result made,
            tx.Query(sql::kInsertAgent,
                     {request.name(), request.version(), targets, absl::StrCat(request.slots())}));
        response.set_agent_id(made.Text(0, 0));
        SetDuration(heartbeat_interval(), response.mutable_heartbeat_interval_duration());
        SetDuration(options_.lease_ttl, response.mutable_lease_duration());
        return SettlePendingRuns(tx, targets);
      });
}

absl::Status Store::FillRunSpec(const RunEditor& run, agent_pb::RunSpec* spec) {
  spec->set_run_id(run.id);
  spec->set_migration(run.migration);
  spec->set_target(run.target);
  spec->set_digest(run.digest);
  spec->set_definition(run.definition_bytes);
  DUNLIN_ASSIGN_OR_RETURN(const auto parameters, ParseParameters(run.parameters_json));
  spec->mutable_parameters()->insert(parameters.begin(), parameters.end());
  spec->set_started_at(run.started_at_text);
  {
    MutexLock lock(mutex_);
    spec->set_store_id(store_id_);
  }
  spec->set_store_name(name_);
  spec->set_planned_timeline(run.planned_timeline);
  spec->set_follows_run_id(run.follows);
  spec->set_kind(run.kind == RunKind::kUndo ? agent_pb::RunSpec::KIND_UNDO
                                            : agent_pb::RunSpec::KIND_APPLY);
  return absl::OkStatus();
}

absl::Status Store::GrantTasks(Transaction& tx, RunEditor& run,
                               const agent_pb::AcquireLeasesRequest& request, int& left) {
  while (left > 0) {
    DUNLIN_ASSIGN_OR_RETURN(
        const pg::Result granted,
        tx.Query(sql::kGrantTask,
                 {run.id, request.agent_id(), request.request_id(),
                  DurationText(options_.lease_ttl), absl::StrCat(run.task_epoch + 1)}));
    if (granted.rows.empty()) return absl::OkStatus();
    ++run.task_epoch;
    --left;
    DUNLIN_RETURN_IF_ERROR(
        run.Emit({.kind = "task_started", .new_value = granted.Text(0, 0), .audit = false}));
  }
  return absl::OkStatus();
}

// How many shards of a run may be granted now: none while something else comes first.
absl::StatusOr<LeaseDemand> Store::DemandOf(Transaction& tx, RunEditor& run) {
  LeaseDemand demand;
  if (run.state != RunState::kRunning || run.reconcile_due) return demand;
  DUNLIN_RETURN_IF_ERROR(UpdatePace(tx, run));
  DUNLIN_ASSIGN_OR_RETURN(const RunWork work, ReadWork(tx, run));
  demand.leased = work.leased;
  if (run.stop_after_rows > 0 && CanaryRowsLeft(run, work) <= 0) return demand;
  demand.grantable = std::max<int64_t>(
      0, std::min(work.undone - work.leased, run.concurrency_allowed - work.leased));
  return demand;
}

absl::Status Store::GrantShards(Transaction& tx, RunEditor& run,
                                const agent_pb::AcquireLeasesRequest& request, int most,
                                int& left) {
  if (most <= 0) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result granted,
      tx.Query(sql::kGrantShards, {run.id, absl::StrCat(run.step), request.agent_id(),
                                   request.request_id(), DurationText(options_.lease_ttl),
                                   absl::StrCat(most), absl::StrCat(run.revision + 1)}));
  for (size_t row = 0; row < granted.rows.size(); ++row) {
    --left;
    DUNLIN_RETURN_IF_ERROR(run.Emit({.kind = "lease_granted",
                                     .shard = granted.Text(row, 0),
                                     .new_value = absl::StrCat("epoch ", granted.Text(row, 1)),
                                     .audit = false}));
  }
  return absl::OkStatus();
}

// Locks the runs that have work for these targets, in the order of their ids; tasks first, then
// shards, fair over runs. `left`: how many leases are still wanted.
absl::Status Store::GrantLeases(Transaction& tx, const agent_pb::AcquireLeasesRequest& request,
                                const std::vector<std::string>& targets, int& left) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result candidates,
                          tx.Query(sql::kCandidateRuns, {pg::EncodeTextArray(targets)}));
  std::vector<RunEditor> runs;
  std::vector<LeaseDemand> demands;
  for (size_t row = 0; row < candidates.rows.size(); ++row) {
    DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, candidates.Text(row, 0)));
    if (!run.MayHoldLeases()) continue;
    DUNLIN_RETURN_IF_ERROR(GrantTasks(tx, run, request, left));
    DUNLIN_ASSIGN_OR_RETURN(demands.emplace_back(), DemandOf(tx, run));
    runs.push_back(std::move(run));
  }
  const std::vector<int> shares = ShareLeases(demands, left);
  for (size_t i = 0; i < runs.size(); ++i) {
    DUNLIN_RETURN_IF_ERROR(GrantShards(tx, runs[i], request, shares[i], left));
    DUNLIN_RETURN_IF_ERROR(runs[i].Save());
  }
  return absl::OkStatus();
}

// What the agent holds under this request id: after granting, and again when the answer was lost.
absl::Status Store::FillLeases(Transaction& tx, const agent_pb::AcquireLeasesRequest& request,
                               agent_pb::AcquireLeasesResponse& response) {
  const std::vector<pg::Value> key = {request.agent_id(), request.request_id()};
  // Behind their locks only are leases and target read: whoever notes a failover revokes the leases
  // first, and so holds the locks, or comes later.
  std::map<std::string, RunEditor> runs;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result of_acquire, tx.Query(sql::kRunsOfAcquire, key));
  if (of_acquire.rows.empty()) return absl::OkStatus();
  for (size_t row = 0; row < of_acquire.rows.size(); ++row) {
    DUNLIN_ASSIGN_OR_RETURN(RunEditor locked, RunEditor::Lock(tx, of_acquire.Text(row, 0)));
    runs.emplace(of_acquire.Text(row, 0), std::move(locked));
  }
  const auto fill = [&](const pg::Result& result, size_t row,
                        size_t seconds_at) -> absl::StatusOr<agent_pb::Lease*> {
    const RunEditor& run = runs.at(result.Text(row, 1));
    agent_pb::Lease* lease = response.add_leases();
    lease->set_lease_id(result.Text(row, 0));
    DUNLIN_RETURN_IF_ERROR(FillRunSpec(run, lease->mutable_run()));
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result server, tx.Query(sql::kPeekTarget, {run.target}));
    lease->mutable_target()->set_target(run.target);
    lease->mutable_target()->set_system_identifier(server.Text(0, 0));
    lease->mutable_target()->set_timeline(static_cast<int>(server.Int(0, 1)));
    double seconds = 0;
    if (absl::SimpleAtod(result.Text(row, seconds_at), &seconds))
      SetDuration(absl::Seconds(seconds), lease->mutable_lease_duration());
    DUNLIN_ASSIGN_OR_RETURN(const RunWork work, ReadWork(tx, run));
    FillLimits(run, work, lease->mutable_limits());
    return lease;
  };
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result tasks, tx.Query(sql::kTaskLeasesOfAcquire, key));
  for (size_t row = 0; row < tasks.rows.size(); ++row) {
    if (!runs.contains(tasks.Text(row, 1))) continue;  // of the same request, sent twice at once
    DUNLIN_ASSIGN_OR_RETURN(agent_pb::Lease * lease, fill(tasks, row, 8));
    agent_pb::TaskLease* task = lease->mutable_task();
    task->set_task_id(tasks.Text(row, 2));
    task->set_kind(TaskKindOf(tasks.Text(row, 3)));
    task->set_step(static_cast<int>(tasks.Int(row, 4)));
    task->set_task_epoch(tasks.Int(row, 5));
    task->set_finish(tasks.Bool(row, 6));
    task->set_shards_known(tasks.Int(row, 7));
    if (task->kind() == agent_pb::TASK_KIND_QUARANTINE) {
      DUNLIN_RETURN_IF_ERROR(
          FillQuarantineTask(tx, runs.at(tasks.Text(row, 1)), tasks.Int(row, 15), task));
    }
    task->set_note(runs.at(tasks.Text(row, 1)).note);
    if (!tasks.IsNull(row, 9))
      DUNLIN_RETURN_IF_ERROR(FillShard(tasks, row, 9, 10, task->step(), task->mutable_shard()));
  }
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result shards, tx.Query(sql::kLeasesOfAcquire, key));
  for (size_t row = 0; row < shards.rows.size(); ++row) {
    if (!runs.contains(shards.Text(row, 1))) continue;
    DUNLIN_ASSIGN_OR_RETURN(agent_pb::Lease * lease, fill(shards, row, 9));
    DUNLIN_RETURN_IF_ERROR(
        FillShard(shards, row, 2, 4, static_cast<int>(shards.Int(row, 3)), lease->mutable_shard()));
  }
  return absl::OkStatus();
}

absl::StatusOr<agent_pb::AcquireLeasesResponse> Store::AcquireLeases(
    const agent_pb::AcquireLeasesRequest& request) {
  if (request.request_id().empty()) return absl::InvalidArgumentError("request_id is missing");
  agent_pb::AcquireLeasesResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction([&](Transaction& tx) -> absl::Status {
    response.Clear();
    DUNLIN_RETURN_IF_ERROR(LoadStoreId(tx));
    // Only looked at: the agent's row is locked behind those of runs, as everywhere.
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result known,
                            tx.Query(sql::kKnownAgent, {request.agent_id()}));
    if (known.rows.empty()) return UnknownAgent();
    DUNLIN_RETURN_IF_ERROR(FillLeases(tx, request, response));
    if (response.leases_size() > 0) return absl::OkStatus();  // asked again: the answer was lost
    DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> reachable,
                            ReachableTargets(tx, request.targets()));
    int left = std::clamp(request.leases_max(), 1, kMaxLeasesPerCall);
    DUNLIN_RETURN_IF_ERROR(GrantLeases(tx, request, reachable, left));
    DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kHungryAgent, {request.agent_id(), Bool(left > 0)}));
    return FillLeases(tx, request, response);
  }));
  return response;
}

}  // namespace dunlin::coordinator
