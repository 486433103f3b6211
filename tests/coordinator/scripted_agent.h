#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/ids.h"
#include "coordinator/store/store.h"
#include "tests/coordinator/fake_ledger.h"

namespace dunlin::coordinator {

// The calls of AgentService, to a Store directly or through gRPC.
class AgentPort {
 public:
  virtual ~AgentPort() = default;
  virtual absl::StatusOr<agent_pb::RegisterAgentResponse> Register(
      const agent_pb::RegisterAgentRequest& request) = 0;
  virtual absl::StatusOr<agent_pb::AcquireLeasesResponse> Acquire(
      const agent_pb::AcquireLeasesRequest& request) = 0;
  virtual absl::StatusOr<agent_pb::HeartbeatResponse> Heartbeat(
      const agent_pb::HeartbeatRequest& request) = 0;
  virtual absl::Status ReportSplit(const agent_pb::ReportSplitRequest& request) = 0;
  virtual absl::StatusOr<agent_pb::ReportQuarantineResponse> ReportQuarantine(
      const agent_pb::ReportQuarantineRequest& request) = 0;
  virtual absl::Status CompleteShard(const agent_pb::CompleteShardRequest& request) = 0;
  virtual absl::Status CompleteTask(const agent_pb::CompleteTaskRequest& request) = 0;
  virtual absl::Status CompleteTargetTask(const agent_pb::CompleteTargetTaskRequest& request) = 0;
  virtual absl::Status Release(const agent_pb::ReleaseLeasesRequest& request) = 0;
};
std::unique_ptr<AgentPort> MakeStorePort(Store& store);

// An agent that a test plays, call by call; what it changes is in a FakeLedger. Every outcome other
// than OK, ABORTED (the lease is lost) and NOT_FOUND (register again) fails the test.
class ScriptedAgent {
 public:
  struct Options {
    std::string name = "a";
    std::string target = "orders";
    int slots = 4;
    int rows_per_batch = 10;
    int timeline = 1;
    std::string system_identifier = "7001";
    int foreign_transactions = 0;
    int64_t deadlock_timeout_ms = 0;  // 0 = measures nothing
    std::string dead_rows_of = "";    // a table that has too many
    std::string preflight_waits_for;  // what `requires` says
    int verify_found = 0;
    bool retries_succeed = false;                      // of rows that are set aside
    std::map<std::string, std::string> confirms = {};  // run id → what the ledger says of it
    int rows_per_key = 1;  // in its estimates: a shard with many rows left is split for idle agents
  };
  ScriptedAgent(AgentPort& port, FakeLedger& ledger, Options options);

  void Register();
  // Heartbeat, then Acquire, then one piece of work on every lease.
  void Step();
  void Heartbeat();
  void Acquire();
  // One batch of every shard, the whole of every task.
  void Work();
  // As a process that was killed: forgets everything, registers again.
  void Die();
  // The answer of an AcquireLeases call is lost on the way.
  void AcquireAndLoseAnswer();
  // Which server of the target it reaches.
  void FillTarget(agent_pb::TargetIdentity* identity) const;
  // Ends a shard's lease with that problem; false when it holds none.
  bool ReleaseOneWith(agent_pb::Problem::Kind kind, const std::string& message);

  // Reports `rows` rows of one held shard as set aside, under one id, twice as if an answer was
  // lost; whether it must stop. Fails the test when it holds none.
  bool SetAside(const std::string& sqlstate, int rows = 1, const std::string& id = MakeUuid());

  // A failover lost that rows were accepted.
  void ForgetAcceptances() {
    for (auto& [id, row] : set_aside_) row.set_accepted(false);
  }

  // Its next task does not see the row in the ledger, as when it had read it before.
  void Overlook(const std::string& id) { set_aside_.erase(id); }

  Options& options() { return options_; }
  const std::string& id() const { return id_; }
  const std::map<std::string, agent_pb::Lease>& leases() const { return leases_; }
  int shards_held() const;
  int questions() const { return questions_; }
  const agent_pb::HeartbeatResponse& last_heartbeat() const { return heartbeat_; }
  int splits() const { return splits_; }

 private:
  struct Progress {
    bool claimed = false;
    FakeLedger::Shard shard;
  };
  void DoTask(const agent_pb::Lease& lease);
  void Answer(const agent_pb::TargetTask& task);
  void FillResult(const agent_pb::Lease& lease, agent_pb::CompleteTaskRequest* request);
  void FillQuarantine(agent_pb::QuarantineResult* result) const;
  bool DoBatch(const agent_pb::Lease& lease);  // false: the lease is over
  void DoSplit(const std::string& lease_id);
  void Release(const std::string& lease_id, agent_pb::Problem problem);
  void FillCheckpoint(const Progress& progress, agent_pb::Checkpoint* checkpoint) const;
  bool Accept(const absl::Status& status, const char* call);

  AgentPort& port_;
  FakeLedger& ledger_;
  Options options_;
  std::string id_;
  std::map<std::string, agent_pb::Lease> leases_;
  std::map<std::string, Progress> progress_;
  agent_pb::HeartbeatResponse heartbeat_;
  int splits_ = 0;
  std::map<std::string, agent_pb::QuarantinedRow> set_aside_;  // as the ledger has them
  int questions_ = 0;
};

}  // namespace dunlin::coordinator
