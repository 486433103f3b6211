#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "dunlin/agent/v1/agent_service.pb.h"
#include "dunlin/v1/fleet_service.pb.h"
#include "dunlin/v1/migration_service.pb.h"
#include "dunlin/v1/run_service.pb.h"

#include "common/ids.h"
#include "common/pg/pool.h"
#include "common/secret.h"
#include "coordinator/logic/pace.h"
#include "coordinator/store/run_editor.h"

namespace dunlin::coordinator {

namespace pb = ::dunlin::v1;
namespace agent_pb = ::dunlin::agent::v1;

struct StoreOptions {
  Secret dsn;
  absl::Duration lease_ttl;
  // The store lies in the one target's own database (`dunlin local`): every run gets that target,
  // whatever its file says, and the ledger can be looked at from here.
  bool local = false;
  int connections_max = 16;
};

// Who sent a command, for the audit log.
struct Caller {
  std::string peer;
};

// What a watch got to know since a revision.
struct WatchDelta {
  bool snapshot = false;
  int64_t revision = 0;
  pb::Run run;
  std::vector<pb::RunEvent> events;
  std::vector<pb::Shard> shards;
};

// What is to be told of one run (notify/).
struct NoticesOfRun {
  pb::Run run;
  std::vector<pb::RunEvent> events;   // in order
  std::optional<pb::RunEvent> stall;  // behind them
  int64_t told_before = 0;            // the revision up to which all has been told
  int64_t up_to = 0;                  // the same when these are
};

// The coordinator's state in PostgreSQL: what should be done. Coordinators are stateless and
// active-active, so each method is one short transaction (retried on serialization trouble); one
// that changes a run locks the run's row first, several in the order of their ids, asks the pure
// rules of logic/ *then*, and takes revisions from that row, so that they become visible in order
// (trap 4). Expiry is judged by this database's clock alone.
//
// Thread safety: any thread. Blocking: for a connection and the transaction, a few seconds at most.
// Errors: UNAVAILABLE (STORE_UNREACHABLE) the store is away: retry; ABORTED (LEASE_LOST) the lease
// is another's; NOT_FOUND; FAILED_PRECONDITION wrong state; INVALID_ARGUMENT.
class Store {
 public:
  explicit Store(StoreOptions options);

  // Creates or upgrades the schema under an advisory lock. FAILED_PRECONDITION: the store is newer
  // than this binary.
  absl::Status MigrateSchema();
  // NOT_FOUND when there is no store in this database.
  absl::Status CheckSchema();

  // --- operators. Idempotent by request_id.
  absl::StatusOr<pb::StartRunResponse> StartRun(const pb::StartRunRequest& request,
                                                const Caller& caller);
  absl::StatusOr<pb::ResolveTargetsResponse> ResolveTargets(
      const pb::ResolveTargetsRequest& request);
  absl::StatusOr<pb::CheckGateResponse> CheckGate(const pb::CheckGateRequest& request);
  absl::StatusOr<pb::LookForSchemaLocksResponse> LookForSchemaLocks(
      const pb::LookForSchemaLocksRequest& request);
  absl::StatusOr<pb::PauseRunResponse> PauseRun(const pb::PauseRunRequest& request,
                                                const Caller& caller);
  absl::StatusOr<pb::ResumeRunResponse> ResumeRun(const pb::ResumeRunRequest& request,
                                                  const Caller& caller);
  absl::StatusOr<pb::CancelRunResponse> CancelRun(const pb::CancelRunRequest& request,
                                                  const Caller& caller);
  absl::StatusOr<pb::ApproveRunResponse> ApproveRun(const pb::ApproveRunRequest& request,
                                                    const Caller& caller);
  absl::StatusOr<pb::RedoRunResponse> RedoRun(const pb::RedoRunRequest& request,
                                              const Caller& caller);
  absl::StatusOr<pb::UndoRunResponse> UndoRun(const pb::UndoRunRequest& request,
                                              const Caller& caller);
  absl::StatusOr<pb::ForgetRunResponse> ForgetRun(const pb::ForgetRunRequest& request,
                                                  const Caller& caller);
  // Idempotent by request id. Errors: FAILED_PRECONDITION no agent of the target is connected.
  absl::StatusOr<pb::AdoptTargetResponse> AdoptTarget(const pb::AdoptTargetRequest& request,
                                                      const Caller& caller);
  // NOT_FOUND: never asked for.
  absl::StatusOr<pb::GetAdoptionResponse> GetAdoption(const pb::GetAdoptionRequest& request);
  absl::StatusOr<pb::PauseAllRunsResponse> PauseAllRuns(const pb::PauseAllRunsRequest& request,
                                                        const Caller& caller);
  absl::StatusOr<pb::ResumeAllRunsResponse> ResumeAllRuns(const pb::ResumeAllRunsRequest& request,
                                                          const Caller& caller);
  absl::StatusOr<pb::BaselineMigrationResponse> BaselineMigration(
      const pb::BaselineMigrationRequest& request, const Caller& caller);

  absl::StatusOr<pb::ThrottleRunResponse> ThrottleRun(const pb::ThrottleRunRequest& request,
                                                      const Caller& caller);

  absl::StatusOr<pb::RetryQuarantinedRowsResponse> RetryQuarantinedRows(
      const pb::RetryQuarantinedRowsRequest& request, const Caller& caller);
  absl::StatusOr<pb::AcceptQuarantinedRowsResponse> AcceptQuarantinedRows(
      const pb::AcceptQuarantinedRowsRequest& request, const Caller& caller);

  // --- readers.
  absl::StatusOr<pb::Run> GetRun(const std::string& run);
  absl::StatusOr<pb::ListRunsResponse> ListRuns(const pb::ListRunsRequest& request);
  absl::StatusOr<pb::ListShardsResponse> ListShards(const pb::ListShardsRequest& request);
  absl::StatusOr<pb::ListRunEventsResponse> ListRunEvents(const pb::ListRunEventsRequest& request);
  absl::StatusOr<pb::ListAgentsResponse> ListAgents(const pb::ListAgentsRequest& request);
  absl::StatusOr<pb::ListQuarantinedRowsResponse> ListQuarantinedRows(
      const pb::ListQuarantinedRowsRequest& request);
  // (run id, revision) of those runs.
  absl::StatusOr<std::vector<std::pair<std::string, int64_t>>> ListRevisions(
      const std::vector<std::string>& run_ids);
  // What changed after `revision` (0 = everything), in one snapshot. OUT_OF_RANGE
  // (REVISION_COMPACTED).
  absl::StatusOr<WatchDelta> ReadChanges(const std::string& run_id, int64_t revision);

  // --- agents.
  absl::StatusOr<agent_pb::RegisterAgentResponse> RegisterAgent(
      const agent_pb::RegisterAgentRequest& request);
  absl::StatusOr<agent_pb::AcquireLeasesResponse> AcquireLeases(
      const agent_pb::AcquireLeasesRequest& request);
  absl::StatusOr<agent_pb::HeartbeatResponse> Heartbeat(const agent_pb::HeartbeatRequest& request);
  absl::Status ReportSplit(const agent_pb::ReportSplitRequest& request);
  absl::StatusOr<agent_pb::ReportQuarantineResponse> ReportQuarantine(
      const agent_pb::ReportQuarantineRequest& request);
  absl::Status CompleteShard(const agent_pb::CompleteShardRequest& request);
  absl::Status CompleteTask(const agent_pb::CompleteTaskRequest& request);
  absl::Status ReleaseLeases(const agent_pb::ReleaseLeasesRequest& request);
  absl::Status CompleteTargetTask(const agent_pb::CompleteTargetTaskRequest& request);

  // --- by itself.
  // Expires leases, ends PAUSING and CANCELLING, looks at PENDING runs. `whole`: looks at RUNNING
  // runs too of which no lease has expired, which paces them.
  absl::Status Sweep(bool whole = true);
  // Old events and answers to request ids go; every few minutes is often enough.
  absl::Status Prune();
  // A few runs of which something is to be told, for the caller alone, for two minutes. The rest
  // when it is asked again.
  absl::StatusOr<std::vector<NoticesOfRun>> ClaimNotices(absl::Duration stall_after);
  // Gives the run back; when not all was told, it is claimed again after a back-off of up to 5 min.
  absl::Status NoteTold(const std::string& run, int64_t revision, bool all_told, bool stall_told);
  // Revokes every lease, as when `dunlin local` knows that its predecessor is dead.
  absl::Status RevokeAllLeases(const std::string& reason);

  absl::Duration lease_ttl() const { return options_.lease_ttl; }
  absl::Duration heartbeat_interval() const;
  // "postgres at HOST:PORT/DB", no secret.
  const std::string& name() const { return name_; }

 private:
  using Body = std::function<absl::Status(Transaction&)>;
  // One transaction, again after 40001, 40P01 and a connection that broke before anything was sent;
  // and when a report comes from another server than is known of its target (CheckReporter), which
  // is noted first.
  absl::Status InTransaction(const Body& body, bool read_only = false);

  // The same request_id gives the same answer; another body under it is an error.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Idempotent(
      const Request& request, const std::function<absl::Status(Transaction&, Response&)>& body);

  absl::StatusOr<std::string> ResolveRun(Transaction& tx, const std::string& run);
  absl::Status SettlePendingRuns(Transaction& tx, const std::string& targets);
  // A run that is about to be made.
  struct NewRun {
    std::string name, target, digest, bytes, parameters_json;
    std::string place;  // the version by which it begins in order
    Definition definition;
    std::string operator_name, reason;  // who starts it, and why
    RunKind kind = RunKind::kApply;
    std::string follows, note;
    int64_t stop_after_rows = 0;
    int64_t priority = 0;  // 0 = as usual
    std::optional<int64_t> not_before_seconds;
  };
  absl::StatusOr<std::vector<std::string>> TargetsOf(Transaction& tx, const Definition& definition);
  absl::StatusOr<std::string> TargetOf(Transaction& tx, const Definition& definition,
                                       const std::string& asked);
  absl::Status StartInTransaction(Transaction& tx, const pb::StartRunRequest& request,
                                  const Caller& caller, NewRun& made,
                                  pb::StartRunResponse& response);
  // A run of what `former` ran, on the same target. `definition`: what it executes.
  absl::StatusOr<NewRun> NewRunAfter(Transaction& tx, const RunEditor& former,
                                     Definition definition);
  absl::Status CreateRun(Transaction& tx, const NewRun& made, const Caller& caller, pb::Run* out);
  // Asks a target under a fresh id, unless the same kind of question waits there already.
  absl::Status AskTarget(Transaction& tx, const std::string& target, const std::string& kind,
                         const agent_pb::TargetTask& question);
  absl::Status GrantTargetTasks(Transaction& tx, const std::string& agent,
                                const std::vector<std::string>& targets,
                                agent_pb::HeartbeatResponse& response);
  absl::Status CheckGateOnTarget(Transaction& tx, const pb::CheckGateRequest& request,
                                 const std::string& name, const std::string& target, bool several,
                                 pb::GateResult* result);
  // Takes the latest server of a target down; a failover revokes the leases of its runs and marks
  // them for reconcile. A transaction of its own, since it locks all of them.
  absl::Status NoteTarget(const agent_pb::TargetIdentity& seen);
  absl::Status ApplyAdopted(Transaction& tx, const std::string& target,
                            const agent_pb::CompleteTargetTaskRequest& answer);
  absl::Status ApplyReadRuns(Transaction& tx, const std::string& target,
                             const agent_pb::CompleteTargetTaskRequest& answer);
  // The next of `pending`; none: the adoption is done.
  absl::Status AskForRuns(Transaction& tx, const std::string& target,
                          const std::vector<std::string>& pending);
  static absl::Status ReadAdoption(Transaction& tx, const std::string& target, pb::Adoption* out);
  absl::Status ApplyForgotten(Transaction& tx, const std::string& run_id,
                              const agent_pb::CompleteTargetTaskRequest& answer);
  absl::Status GrantLeases(Transaction& tx, const agent_pb::AcquireLeasesRequest& request,
                           const std::vector<std::string>& targets, int& left);
  absl::StatusOr<LeaseDemand> DemandOf(Transaction& tx, RunEditor& run);
  absl::Status GrantShards(Transaction& tx, RunEditor& run,
                           const agent_pb::AcquireLeasesRequest& request, int most, int& left);
  absl::Status GrantTasks(Transaction& tx, RunEditor& run,
                          const agent_pb::AcquireLeasesRequest& request, int& left);
  absl::Status FillLeases(Transaction& tx, const agent_pb::AcquireLeasesRequest& request,
                          agent_pb::AcquireLeasesResponse& response);
  absl::Status FillRunSpec(const RunEditor& run, agent_pb::RunSpec* spec);
  absl::Status SweepRun(const std::string& run_id);
  // `server`: where the agent has read it.
  absl::Status ApplyPlan(Transaction& tx, RunEditor& run, int step,
                         const agent_pb::PlanResult& plan, const agent_pb::TargetIdentity& server);
  absl::Status ApplyReconcile(Transaction& tx, RunEditor& run, const pg::Result& task,
                              const agent_pb::ReconcileResult& result,
                              const agent_pb::TargetIdentity& server);
  // `task`: the row of sql::kTaskByLease.
  absl::Status ApplyQuarantine(Transaction& tx, RunEditor& run, const pg::Result& task,
                               const agent_pb::QuarantineResult& result);
  absl::Status ApplyQuarantineTask(Transaction& tx, RunEditor& run, const pg::Result& task,
                                   const agent_pb::QuarantineResult& result);
  absl::Status FillQuarantineTask(Transaction& tx, const RunEditor& run, int64_t retry,
                                  agent_pb::TaskLease* task);
  absl::Status ApplyTaskResult(Transaction& tx, RunEditor& run, const pg::Result& task,
                               const agent_pb::CompleteTaskRequest& request);
  absl::Status ReleaseOne(Transaction& tx, const agent_pb::ReleaseLeasesRequest::Release& release);
  absl::Status LoadStoreId(Transaction& tx);
  absl::Status CheckVersion(int64_t version) const;

  const StoreOptions options_;
  const std::string name_;
  pg::Pool pool_;
  Mutex mutex_;
  std::string store_id_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::coordinator
