#include "tests/coordinator/scripted_agent.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>

#include "common/ids.h"

namespace dunlin::coordinator {
namespace {

class StorePort final : public AgentPort {
 public:
  explicit StorePort(Store& store) : store_(store) {}
  absl::StatusOr<agent_pb::RegisterAgentResponse> Register(
      const agent_pb::RegisterAgentRequest& request) override {
    return store_.RegisterAgent(request);
  }
  absl::StatusOr<agent_pb::AcquireLeasesResponse> Acquire(
      const agent_pb::AcquireLeasesRequest& request) override {
    return store_.AcquireLeases(request);
  }
  absl::StatusOr<agent_pb::HeartbeatResponse> Heartbeat(
      const agent_pb::HeartbeatRequest& request) override {
    return store_.Heartbeat(request);
  }
  absl::Status ReportSplit(const agent_pb::ReportSplitRequest& request) override {
    return store_.ReportSplit(request);
  }
  absl::StatusOr<agent_pb::ReportQuarantineResponse> ReportQuarantine(
      const agent_pb::ReportQuarantineRequest& request) override {
    return store_.ReportQuarantine(request);
  }
  absl::Status CompleteShard(const agent_pb::CompleteShardRequest& request) override {
    return store_.CompleteShard(request);
  }
  absl::Status CompleteTask(const agent_pb::CompleteTaskRequest& request) override {
    return store_.CompleteTask(request);
  }
  absl::Status CompleteTargetTask(const agent_pb::CompleteTargetTaskRequest& request) override {
    return store_.CompleteTargetTask(request);
  }
  absl::Status Release(const agent_pb::ReleaseLeasesRequest& request) override {
    return store_.ReleaseLeases(request);
  }

 private:
  Store& store_;
};

}  // namespace

std::unique_ptr<AgentPort> MakeStorePort(Store& store) {
  return std::make_unique<StorePort>(store);
}

ScriptedAgent::ScriptedAgent(AgentPort& port, FakeLedger& ledger, Options options)
    : port_(port), ledger_(ledger), options_(std::move(options)) {
  Register();
}

bool ScriptedAgent::Accept(const absl::Status& status, const char* call) {
  EXPECT_TRUE(status.ok() || absl::IsAborted(status) || absl::IsNotFound(status))
      << call << ": " << status;
  return status.ok();
}

void ScriptedAgent::FillTarget(agent_pb::TargetIdentity* identity) const {
  identity->set_target(options_.target);
  identity->set_system_identifier(options_.system_identifier);
  identity->set_timeline(options_.timeline);
}

void ScriptedAgent::Register() {
  agent_pb::RegisterAgentRequest request;
  request.set_request_id(MakeUuid());
  request.set_name(options_.name);
  request.set_version("test");
  request.add_targets(options_.target);
  request.set_slots(options_.slots);
  const auto registered = port_.Register(request);
  ASSERT_TRUE(registered.ok()) << registered.status();
  id_ = registered->agent_id();
}

void ScriptedAgent::Die() {
  leases_.clear();
  progress_.clear();
  Register();
}

int ScriptedAgent::shards_held() const {
  int held = 0;
  for (const auto& [id, lease] : leases_) held += lease.has_shard() ? 1 : 0;
  return held;
}

void ScriptedAgent::FillCheckpoint(const Progress& progress,
                                   agent_pb::Checkpoint* checkpoint) const {
  const FakeLedger::Shard& shard = progress.shard;
  checkpoint->mutable_cursor()->add_column_text(absl::StrCat(shard.cursor));
  checkpoint->set_seq(shard.seq);
  checkpoint->set_rows_done(shard.cursor - shard.lower.value_or(0));
  checkpoint->set_rows_changed(checkpoint->rows_done());
}

void ScriptedAgent::Heartbeat() {
  agent_pb::HeartbeatRequest request;
  request.set_agent_id(id_);
  FillTarget(request.add_targets());
  auto* signals = request.add_signals();
  signals->set_target(options_.target);
  signals->set_foreign_transactions(options_.foreign_transactions);
  if (options_.deadlock_timeout_ms > 0) {
    signals->set_deadlock_timeout_ms(options_.deadlock_timeout_ms);
    signals->mutable_alone_duration()->set_seconds(options_.foreign_transactions > 0 ? 0 : 60);
    signals->add_samples()->set_signal("lock_waits");
    if (!options_.dead_rows_of.empty()) {
      agent_pb::SignalSample* dead_rows = signals->add_samples();
      dead_rows->set_signal("dead_rows");
      dead_rows->set_subject(options_.dead_rows_of);
      dead_rows->set_value(9);
    }
  }
  for (const auto& [id, lease] : leases_) {
    agent_pb::LeaseReport* report = request.add_leases();
    report->set_lease_id(id);
    if (!progress_[id].claimed || progress_[id].shard.seq == 0) continue;
    FillCheckpoint(progress_[id], report->mutable_checkpoint());
    report->set_rows_left((progress_[id].shard.upper - progress_[id].shard.cursor) *
                          options_.rows_per_key);
  }
  auto answer = port_.Heartbeat(request);
  if (absl::IsNotFound(answer.status())) return Die();
  if (!Accept(answer.status(), "Heartbeat")) return;
  heartbeat_ = *std::move(answer);
  ASSERT_EQ(heartbeat_.directives_size(), request.leases_size());
  for (const agent_pb::LeaseDirective& directive : heartbeat_.directives()) {
    if (directive.has_limits()) {
      *leases_.at(directive.lease_id()).mutable_limits() = directive.limits();
    }
    switch (directive.action()) {
      case agent_pb::LeaseDirective::ACTION_LOST:
        leases_.erase(directive.lease_id());
        break;
      case agent_pb::LeaseDirective::ACTION_STOP:
        Release(directive.lease_id(), {});
        break;
      case agent_pb::LeaseDirective::ACTION_SPLIT:
        DoSplit(directive.lease_id());
        break;
      default:
        break;
    }
  }
  for (const agent_pb::TargetTask& task : heartbeat_.target_tasks()) Answer(task);
}

void ScriptedAgent::Answer(const agent_pb::TargetTask& task) {
  ++questions_;
  agent_pb::CompleteTargetTaskRequest request;
  request.set_agent_id(id_);
  request.set_task_id(task.task_id());
  for (const auto& [run, outcome] : options_.confirms) {
    auto* confirmed = request.mutable_confirm_runs()->add_runs();
    confirmed->set_run_id(run);
    confirmed->set_outcome(outcome);
    confirmed->set_finish_age_seconds(60);
  }
  request.mutable_confirm_runs();
  FillTarget(request.mutable_target());
  Accept(port_.CompleteTargetTask(request), "CompleteTargetTask");
}

void ScriptedAgent::Acquire() {
  const int free = options_.slots - static_cast<int>(leases_.size());
  if (free <= 0) return;
  agent_pb::AcquireLeasesRequest request;
  request.set_request_id(MakeUuid());
  request.set_agent_id(id_);
  request.set_leases_max(free);
  FillTarget(request.add_targets());
  const auto granted = port_.Acquire(request);
  if (absl::IsNotFound(granted.status())) return Die();
  if (!Accept(granted.status(), "AcquireLeases")) return;
  EXPECT_LE(granted->leases_size(), free);
  for (const agent_pb::Lease& lease : granted->leases()) leases_[lease.lease_id()] = lease;
}

void ScriptedAgent::AcquireAndLoseAnswer() {
  const auto before = leases_;
  Acquire();
  leases_ = before;
}

void ScriptedAgent::Work() {
  const auto held = leases_;
  for (const auto& [id, lease] : held) {
    if (lease.has_task()) {
      DoTask(lease);
      leases_.erase(id);
    } else if (!DoBatch(lease)) {
      leases_.erase(id);
    }
  }
}

void ScriptedAgent::Step() {
  Heartbeat();
  Acquire();
  Work();
}

void ScriptedAgent::FillResult(const agent_pb::Lease& lease,
                               agent_pb::CompleteTaskRequest* request) {
  const agent_pb::TaskLease& task = lease.task();
  switch (task.kind()) {
    case agent_pb::TASK_KIND_PREFLIGHT:
      request->mutable_preflight()->set_waiting_reason(options_.preflight_waits_for);
      request->mutable_preflight()->set_foreign_transactions(options_.foreign_transactions);
      return;
    case agent_pb::TASK_KIND_PLAN:
      request->mutable_plan();  // also of an empty table
      for (auto& shard : ledger_.Plan(task.step(), "public.t")) {
        request->mutable_plan()->set_rows_total(request->plan().rows_total() + shard.rows_total());
        *request->mutable_plan()->add_shards() = shard;
      }
      return;
    case agent_pb::TASK_KIND_VERIFY:
      request->mutable_verify()->set_found(options_.verify_found);
      return;
    case agent_pb::TASK_KIND_QUARANTINE:
      for (const auto& accept : task.accept()) {
        agent_pb::QuarantinedRow& row = set_aside_.at(accept.quarantine_id());
        row.set_accepted(true);
        row.set_accepted_by(accept.operator_name());
        row.set_accepted_reason(accept.reason());
      }
      if (task.retry() && options_.retries_succeed) {
        std::erase_if(set_aside_, [](const auto& entry) { return !entry.second.accepted(); });
      }
      FillQuarantine(request->mutable_quarantine());
      return;
    case agent_pb::TASK_KIND_BASELINE:
      EXPECT_FALSE(task.note().empty());
      request->mutable_baseline();
      return;
    case agent_pb::TASK_KIND_FINALIZE:
      if (ledger_.Finalize(task.shards_known(), task.finish())) {
        request->mutable_finalize()->set_finished(task.finish());
      } else {
        request->mutable_problem()->set_kind(agent_pb::Problem::KIND_LEDGER_MISMATCH);
        request->mutable_problem()->set_message("the store's view is another");
      }
      return;
    default:
      EXPECT_EQ(task.kind(), agent_pb::TASK_KIND_RECONCILE);
      request->mutable_reconcile()->set_run_known(ledger_.planned());
      request->mutable_reconcile()->set_finished(ledger_.finished());
      for (auto& shard : ledger_.All()) *request->mutable_reconcile()->add_shards() = shard;
      FillQuarantine(request->mutable_reconcile()->mutable_quarantine());
  }
}

void ScriptedAgent::FillQuarantine(agent_pb::QuarantineResult* result) const {
  for (const auto& [id, row] : set_aside_) *result->add_rows() = row;
}

bool ScriptedAgent::SetAside(const std::string& sqlstate, int rows, const std::string& id) {
  const auto held = std::find_if(leases_.begin(), leases_.end(),
                                 [](const auto& entry) { return entry.second.has_shard(); });
  if (held == leases_.end()) {
    ADD_FAILURE() << "it holds no shard";
    return true;
  }
  const agent_pb::ShardLease& shard = held->second.shard();
  agent_pb::ReportQuarantineRequest request;
  request.set_request_id(MakeUuid());
  request.set_agent_id(id_);
  request.set_lease_id(held->first);
  request.set_shard_id(shard.shard_id());
  request.set_epoch(shard.epoch());
  if (progress_[held->first].claimed)
    FillCheckpoint(progress_[held->first], request.mutable_checkpoint());
  agent_pb::QuarantinedRow* row = request.add_rows();
  row->set_quarantine_id(id);
  row->set_shard_id(shard.shard_id());
  row->set_relation(shard.relation());
  row->add_key_column("id");
  row->mutable_key()->add_column_text("7");
  row->set_rows(rows);
  row->set_sqlstate(sqlstate);
  row->set_constraint("no_luck");
  row->set_tries(1);
  row->mutable_fail_time()->set_seconds(1'800'000'000);
  row->mutable_try_time()->set_seconds(1'800'000'000);
  FillTarget(request.mutable_target());
  set_aside_[id] = *row;
  const auto first = port_.ReportQuarantine(request);
  if (!Accept(first.status(), "ReportQuarantine")) return true;
  request.set_request_id(MakeUuid());  // as the next owner does, who does not know
  const auto second = port_.ReportQuarantine(request);
  return !Accept(second.status(), "ReportQuarantine") || second->stop();
}

void ScriptedAgent::DoTask(const agent_pb::Lease& lease) {
  agent_pb::CompleteTaskRequest request;
  request.set_request_id(MakeUuid());
  request.set_agent_id(id_);
  request.set_lease_id(lease.lease_id());
  request.set_task_id(lease.task().task_id());
  request.set_task_epoch(lease.task().task_epoch());
  FillResult(lease, &request);
  FillTarget(request.mutable_target());
  Accept(port_.CompleteTask(request), "CompleteTask");
}

bool ScriptedAgent::DoBatch(const agent_pb::Lease& lease) {
  const std::string& id = lease.shard().shard_id();
  Progress& progress = progress_[lease.lease_id()];
  if (!progress.claimed) {
    const auto claimed = ledger_.Claim(id, lease.shard().epoch());
    if (!claimed) {
      agent_pb::Problem problem;
      problem.set_kind(ledger_.EpochOf(id) < 0 ? agent_pb::Problem::KIND_LEDGER_MISMATCH
                                               : agent_pb::Problem::KIND_STALE_EPOCH);
      problem.set_ledger_epoch(ledger_.EpochOf(id));
      Release(lease.lease_id(), problem);
      return false;
    }
    progress = {.claimed = true, .shard = *claimed};
  }
  if (!progress.shard.done) {
    const auto after =
        ledger_.Batch(id, lease.shard().epoch(), progress.shard.seq, options_.rows_per_batch);
    if (!after) {  // fenced off: somebody else's by now
      Release(lease.lease_id(), {});
      return false;
    }
    progress.shard = *after;
    if (!progress.shard.done) return true;
  }
  agent_pb::CompleteShardRequest request;
  request.set_request_id(MakeUuid());
  request.set_agent_id(id_);
  request.set_lease_id(lease.lease_id());
  request.set_shard_id(id);
  request.set_epoch(lease.shard().epoch());
  FillCheckpoint(progress, request.mutable_checkpoint());
  request.mutable_upper()->add_column_text(absl::StrCat(progress.shard.upper));
  FillTarget(request.mutable_target());
  Accept(port_.CompleteShard(request), "CompleteShard");
  return false;
}

void ScriptedAgent::DoSplit(const std::string& lease_id) {
  const agent_pb::Lease& lease = leases_.at(lease_id);
  Progress& progress = progress_[lease_id];
  if (!progress.claimed) return;
  const auto child = ledger_.Split(lease.shard().shard_id(), lease.shard().epoch());
  if (!child) return;
  progress.shard.upper = *child->lower;
  ++splits_;
  agent_pb::ReportSplitRequest request;
  request.set_request_id(absl::StrCat("split:", child->id));
  request.set_agent_id(id_);
  request.set_lease_id(lease_id);
  request.set_shard_id(lease.shard().shard_id());
  request.set_epoch(lease.shard().epoch());
  request.mutable_middle()->add_column_text(absl::StrCat(*child->lower));
  request.set_child_shard_id(child->id);
  request.mutable_child_upper()->add_column_text(absl::StrCat(child->upper));
  request.set_parent_rows_total(progress.shard.upper - progress.shard.lower.value_or(0));
  request.set_child_rows_total(child->upper - *child->lower);
  FillTarget(request.mutable_target());
  if (Accept(port_.ReportSplit(request), "ReportSplit")) {
    // An answer that was lost: the same again.
    EXPECT_TRUE(port_.ReportSplit(request).ok());
  }
}

void ScriptedAgent::Release(const std::string& lease_id, agent_pb::Problem problem) {
  agent_pb::ReleaseLeasesRequest request;
  request.set_request_id(MakeUuid());
  request.set_agent_id(id_);
  auto* release = request.add_releases();
  release->set_lease_id(lease_id);
  const auto it = progress_.find(lease_id);
  if (it != progress_.end() && it->second.claimed && it->second.shard.seq > 0)
    FillCheckpoint(it->second, release->mutable_checkpoint());
  if (problem.kind() == agent_pb::Problem::KIND_UNSPECIFIED)
    problem.set_kind(agent_pb::Problem::KIND_NONE);
  *release->mutable_problem() = problem;
  FillTarget(release->mutable_target());
  Accept(port_.Release(request), "ReleaseLeases");
  leases_.erase(lease_id);
}

bool ScriptedAgent::ReleaseOneWith(agent_pb::Problem::Kind kind, const std::string& message) {
  for (const auto& [id, lease] : leases_) {
    if (!lease.has_shard()) continue;
    agent_pb::Problem problem;
    problem.set_kind(kind);
    problem.set_message(message);
    Release(std::string(id), problem);
    return true;
  }
  return false;
}

}  // namespace dunlin::coordinator
