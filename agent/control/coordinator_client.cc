#include "agent/control/coordinator_client.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "dunlin/agent/v1/agent_service.grpc.pb.h"

#include "agent/control/proto_convert.h"
#include "common/log.h"
#include "common/rpc/unary_call.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

constexpr const char* kVersion = "0.1.0";
// A coordinator that hangs must not keep a pause from being heard when another could tell it (I7).
constexpr absl::Duration kShortDeadline = absl::Milliseconds(700);
constexpr absl::Duration kDeadline = absl::Seconds(3);
// Plans carry thousands of shards.
constexpr absl::Duration kLongDeadline = absl::Seconds(30);

}  // namespace

struct CoordinatorClient::Stubs {
  std::vector<std::unique_ptr<pb::AgentService::Stub>> all;

  // Asks each coordinator once, beginning with the one that answered last. Answers other than
  // "cannot be reached" count.
  template <typename Method, typename Request, typename Response>
  absl::Status Call(std::atomic<size_t>& current, absl::Duration deadline, Method method,
                    const Request& request, Response& response) {
    absl::Status last = absl::UnavailableError("no coordinator is configured");
    for (size_t tried = 0; tried < all.size(); ++tried) {
      size_t asked = current.load();
      const size_t at = asked % all.size();
      last = CallOnce(*all[at], method, deadline, request, response);
      const bool unreachable = absl::IsUnavailable(last) || absl::IsDeadlineExceeded(last) ||
                               absl::IsResourceExhausted(last) || absl::IsCancelled(last);
      if (!unreachable) return last;
      // Only the first of several threads that met the same silence moves on.
      current.compare_exchange_strong(asked, asked + 1);
    }
    return last;
  }
};

CoordinatorClient::CoordinatorClient(std::vector<std::shared_ptr<grpc::Channel>> channels)
    : stubs_(std::make_unique<Stubs>()) {
  for (std::shared_ptr<grpc::Channel>& channel : channels) {
    stubs_->all.push_back(pb::AgentService::NewStub(channel));
  }
}

CoordinatorClient::~CoordinatorClient() = default;

absl::StatusOr<Registration> CoordinatorClient::Register(const std::string& request_id,
                                                         const std::string& name,
                                                         const std::vector<std::string>& targets,
                                                         int slots) {
  pb::RegisterAgentRequest request;
  request.set_request_id(request_id);
  request.set_name(name);
  request.set_version(kVersion);
  request.mutable_targets()->Assign(targets.begin(), targets.end());
  request.set_slots(slots);
  pb::RegisterAgentResponse response;
  DUNLIN_RETURN_IF_ERROR(
      stubs_->Call(current_, kDeadline, &pb::AgentService::Stub::RegisterAgent, request, response));
  return Registration{.agent = AgentId(response.agent_id()),
                      .heartbeat_interval = FromProto(response.heartbeat_interval_duration()),
                      .lease_duration = FromProto(response.lease_duration())};
}

absl::StatusOr<std::vector<Lease>> CoordinatorClient::AcquireLeases(
    const AgentId& agent, const std::string& request_id, int leases_max,
    const std::vector<TargetStatus>& targets) {
  pb::AcquireLeasesRequest request;
  request.set_request_id(request_id);
  request.set_agent_id(agent.value());
  request.set_leases_max(leases_max);
  for (const TargetStatus& target : targets) ToProto(target.identity, request.add_targets());
  pb::AcquireLeasesResponse response;
  DUNLIN_RETURN_IF_ERROR(
      stubs_->Call(current_, kDeadline, &pb::AgentService::Stub::AcquireLeases, request, response));
  std::vector<Lease> leases;
  for (const pb::Lease& granted : response.leases()) {
    absl::StatusOr<Lease> lease = FromProto(granted);
    // It is not listed in the next heartbeat, and so goes back (trap 19).
    if (!lease.ok()) {
      LOG(WARNING) << Event("lease_not_understood")
                          .Kv("lease", granted.lease_id())
                          .Kv("why", lease.status().message());
      continue;
    }
    leases.push_back(*std::move(lease));
  }
  return leases;
}

absl::StatusOr<HeartbeatAnswer> CoordinatorClient::Heartbeat(
    const AgentId& agent, const std::vector<LeaseReport>& leases,
    const std::vector<TargetStatus>& targets, const std::vector<std::string>& pending_request_ids) {
  pb::HeartbeatRequest request;
  request.set_agent_id(agent.value());
  for (const LeaseReport& lease : leases) {
    pb::LeaseReport* report = request.add_leases();
    report->set_lease_id(lease.id.value());
    if (lease.checkpoint) ToProto(*lease.checkpoint, report->mutable_checkpoint());
    report->set_rows_left(lease.rows_left);
    report->set_waiting_reason(lease.waiting_reason);
  }
  for (const TargetStatus& target : targets) {
    ToProto(target.identity, request.add_targets());
    pb::TargetSignals* signals = request.add_signals();
    signals->set_target(target.identity.target);
    signals->set_foreign_transactions(target.foreign_transactions);
    if (target.report) ToProto(*target.report, signals);
  }
  request.mutable_pending_request_ids()->Assign(pending_request_ids.begin(),
                                                pending_request_ids.end());
  pb::HeartbeatResponse response;
  const absl::Duration deadline = stubs_->all.size() > 1 ? kShortDeadline : kDeadline;
  DUNLIN_RETURN_IF_ERROR(
      stubs_->Call(current_, deadline, &pb::AgentService::Stub::Heartbeat, request, response));
  HeartbeatAnswer answer{.work_available = response.work_available(),
                         .runs_live = response.runs_live()};
  for (const pb::LeaseDirective& directive : response.directives())
    answer.directives.push_back(FromProto(directive));
  for (const pb::SignalDuty& duty : response.signal_duties())
    answer.signal_duties.push_back(FromProto(duty));
  for (const pb::TargetTask& asked : response.target_tasks()) {
    absl::StatusOr<TargetTask> task = FromProto(asked);
    if (task.ok()) {
      answer.target_tasks.push_back(*std::move(task));
    } else {
      LOG(WARNING) << Event("target_task_unknown").Kv("why", task.status().message());
    }
  }
  return answer;
}

// Reports carry an id that is the same at each try, so that one whose answer was lost is answered
// again and not taken for another (I6).
absl::Status CoordinatorClient::ReportSplit(const AgentId& agent, const LeaseId& lease,
                                            const TargetIdentity& from, const SplitReport& split) {
  pb::ReportSplitRequest request;
  request.set_request_id(absl::StrCat("split:", split.child.value()));
  request.set_agent_id(agent.value());
  request.set_lease_id(lease.value());
  request.set_shard_id(split.parent.value());
  request.set_epoch(split.epoch.value());
  ToProto(split.middle, request.mutable_middle());
  request.set_child_shard_id(split.child.value());
  ToProto(split.child_upper, request.mutable_child_upper());
  request.set_parent_rows_total(split.parent_rows_total);
  request.set_child_rows_total(split.child_rows_total);
  ToProto(from, request.mutable_target());
  pb::ReportSplitResponse response;
  return stubs_->Call(current_, kDeadline, &pb::AgentService::Stub::ReportSplit, request, response);
}

absl::StatusOr<bool> CoordinatorClient::ReportQuarantine(const AgentId& agent, const LeaseId& lease,
                                                         const TargetIdentity& from,
                                                         const ShardId& shard, Epoch epoch,
                                                         const Checkpoint& checkpoint,
                                                         const std::vector<QuarantinedRow>& rows) {
  pb::ReportQuarantineRequest request;
  request.set_request_id(absl::StrCat("quarantine:", lease.value(), ":", rows.front().id));
  request.set_agent_id(agent.value());
  request.set_lease_id(lease.value());
  request.set_shard_id(shard.value());
  request.set_epoch(epoch.value());
  ToProto(checkpoint, request.mutable_checkpoint());
  for (const QuarantinedRow& row : rows) ToProto(row, request.add_rows());
  ToProto(from, request.mutable_target());
  pb::ReportQuarantineResponse response;
  DUNLIN_RETURN_IF_ERROR(stubs_->Call(
      current_, kDeadline, &pb::AgentService::Stub::ReportQuarantine, request, response));
  return response.stop();
}

absl::Status CoordinatorClient::CompleteShard(const AgentId& agent, const LeaseId& lease,
                                              const TargetIdentity& from, const ShardId& shard,
                                              Epoch epoch, const Checkpoint& checkpoint,
                                              const OptionalKey& upper) {
  pb::CompleteShardRequest request;
  request.set_request_id(absl::StrCat("done:", lease.value()));
  request.set_agent_id(agent.value());
  request.set_lease_id(lease.value());
  request.set_shard_id(shard.value());
  request.set_epoch(epoch.value());
  ToProto(checkpoint, request.mutable_checkpoint());
  if (upper) ToProto(*upper, request.mutable_upper());
  ToProto(from, request.mutable_target());
  pb::CompleteShardResponse response;
  return stubs_->Call(current_, kDeadline, &pb::AgentService::Stub::CompleteShard, request,
                      response);
}

absl::Status CoordinatorClient::CompleteTask(const AgentId& agent, const LeaseId& lease,
                                             const TargetIdentity& from, const TaskId& task,
                                             Epoch task_epoch, const TaskResult& result) {
  pb::CompleteTaskRequest request;
  request.set_request_id(absl::StrCat("task:", lease.value()));
  request.set_agent_id(agent.value());
  request.set_lease_id(lease.value());
  request.set_task_id(task.value());
  request.set_task_epoch(task_epoch.value());
  ToProto(result, &request);
  ToProto(from, request.mutable_target());
  pb::CompleteTaskResponse response;
  return stubs_->Call(current_, kLongDeadline, &pb::AgentService::Stub::CompleteTask, request,
                      response);
}

absl::Status CoordinatorClient::CompleteTargetTask(const AgentId& agent, const std::string& task,
                                                   const TargetTaskAnswer& answer) {
  pb::CompleteTargetTaskRequest request;
  request.set_agent_id(agent.value());
  request.set_task_id(task);
  ToProto(answer.result, &request);
  ToProto(answer.from, request.mutable_target());
  pb::CompleteTargetTaskResponse response;
  return stubs_->Call(current_, kLongDeadline, &pb::AgentService::Stub::CompleteTargetTask, request,
                      response);
}

absl::Status CoordinatorClient::ReleaseLeases(const AgentId& agent,
                                              const std::vector<Release>& releases) {
  pb::ReleaseLeasesRequest request;
  request.set_request_id(absl::StrCat("release:", releases.front().lease.value()));
  request.set_agent_id(agent.value());
  for (const Release& release : releases) {
    pb::ReleaseLeasesRequest::Release* out = request.add_releases();
    out->set_lease_id(release.lease.value());
    if (release.checkpoint) ToProto(*release.checkpoint, out->mutable_checkpoint());
    ToProto(release.problem, out->mutable_problem());
    ToProto(release.from, out->mutable_target());
  }
  pb::ReleaseLeasesResponse response;
  return stubs_->Call(current_, kDeadline, &pb::AgentService::Stub::ReleaseLeases, request,
                      response);
}

}  // namespace dunlin::agent
