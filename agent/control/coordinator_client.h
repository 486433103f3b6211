#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include <grpcpp/channel.h>

#include "agent/lease.h"
#include "agent/signals/sampler.h"
#include "common/ids.h"

namespace dunlin::agent {

// What a heartbeat tells of one lease.
struct LeaseReport {
  LeaseId id;
  std::optional<Checkpoint> checkpoint;
  int64_t rows_left = 0;
  std::string waiting_reason;
};

struct TargetStatus {
  TargetIdentity identity;
  int foreign_transactions = -1;
  std::optional<SignalReport> report;  // of a target that this agent measures, when it is new
};

struct Directive {
  enum class Action { kRenew, kStop, kLost, kSplit };
  LeaseId lease;
  Action action = Action::kRenew;
  absl::Duration duration;
  WorkLimits limits;
};

struct HeartbeatAnswer {
  std::vector<Directive> directives;
  bool work_available = false;
  bool runs_live = false;
  std::vector<TargetTask> target_tasks;
  std::vector<SignalDuty> signal_duties;
};

struct Registration {
  AgentId agent;
  absl::Duration heartbeat_interval = absl::Milliseconds(500);
  absl::Duration lease_duration;
};

struct Release {
  LeaseId lease;
  TargetIdentity from;
  std::optional<Checkpoint> checkpoint;
  Problem problem;
};

// Typed calls of AgentService over one or more coordinators: when one cannot be reached, the next
// is asked (they are all alike). Thread safety: any thread. Blocking: at most the call's deadline
// per address. Errors: UNAVAILABLE none answers; ABORTED the lease is not ours; NOT_FOUND the agent
// is unknown: register again.
class CoordinatorClient {
 public:
  explicit CoordinatorClient(std::vector<std::shared_ptr<grpc::Channel>> channels);
  ~CoordinatorClient();

  absl::StatusOr<Registration> Register(const std::string& request_id, const std::string& name,
                                        const std::vector<std::string>& targets, int slots);
  absl::StatusOr<std::vector<Lease>> AcquireLeases(const AgentId& agent,
                                                   const std::string& request_id, int leases_max,
                                                   const std::vector<TargetStatus>& targets);
  absl::StatusOr<HeartbeatAnswer> Heartbeat(const AgentId& agent,
                                            const std::vector<LeaseReport>& leases,
                                            const std::vector<TargetStatus>& targets,
                                            const std::vector<std::string>& pending_request_ids);
  // Reports say `from` which server they come: see LeaseHandle::server().
  absl::Status ReportSplit(const AgentId& agent, const LeaseId& lease, const TargetIdentity& from,
                           const SplitReport& split);
  // Whether the worker must stop.
  absl::StatusOr<bool> ReportQuarantine(const AgentId& agent, const LeaseId& lease,
                                        const TargetIdentity& from, const ShardId& shard,
                                        Epoch epoch, const Checkpoint& checkpoint,
                                        const std::vector<QuarantinedRow>& rows);
  absl::Status CompleteShard(const AgentId& agent, const LeaseId& lease, const TargetIdentity& from,
                             const ShardId& shard, Epoch epoch, const Checkpoint& checkpoint,
                             const OptionalKey& upper);
  absl::Status CompleteTask(const AgentId& agent, const LeaseId& lease, const TargetIdentity& from,
                            const TaskId& task, Epoch task_epoch, const TaskResult& result);
  absl::Status CompleteTargetTask(const AgentId& agent, const std::string& task,
                                  const TargetTaskAnswer& answer);
  // `releases`: at least one.
  absl::Status ReleaseLeases(const AgentId& agent, const std::vector<Release>& releases);

 private:
  struct Stubs;  // one generated stub per coordinator
  std::unique_ptr<Stubs> stubs_;
  std::atomic<size_t> current_ = 0;
};

}  // namespace dunlin::agent
