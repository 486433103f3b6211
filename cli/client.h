#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include <grpcpp/channel.h>

#include "dunlin/v1/fleet_service.grpc.pb.h"
#include "dunlin/v1/migration_service.grpc.pb.h"
#include "dunlin/v1/run_service.grpc.pb.h"

#include "common/limits.h"
#include "common/status_macros.h"

namespace dunlin::cli {

namespace pb = ::dunlin::v1;

// Calls of one command over one or more coordinators: the next is asked when one cannot be reached,
// for ten seconds in all. A request keeps its request_id over all tries, so that nothing happens
// twice. Errors: UNAVAILABLE names the addresses and what to do.
class Client {
 public:
  // `where`: the addresses, or the database, for messages.
  Client(std::vector<std::shared_ptr<grpc::Channel>> channels, std::string where);

  absl::StatusOr<std::vector<std::string>> ResolveTargets(const std::string& migration,
                                                          const std::string& definition);
  absl::StatusOr<std::vector<pb::GateResult>> CheckGate(const pb::CheckGateRequest& request);
  absl::StatusOr<pb::LookForSchemaLocksResponse> LookForSchemaLocks(
      const pb::LookForSchemaLocksRequest& request);
  absl::StatusOr<pb::StartRunResponse> StartRun(const pb::StartRunRequest& request);
  absl::StatusOr<pb::Run> PauseRun(const pb::PauseRunRequest& request);
  absl::StatusOr<pb::Run> ResumeRun(const pb::ResumeRunRequest& request);
  absl::StatusOr<pb::Run> CancelRun(const pb::CancelRunRequest& request);
  absl::StatusOr<pb::Run> ApproveRun(const pb::ApproveRunRequest& request);
  absl::StatusOr<pb::Run> RedoRun(const pb::RedoRunRequest& request);
  absl::StatusOr<pb::Run> UndoRun(const pb::UndoRunRequest& request);
  absl::StatusOr<pb::Adoption> AdoptTarget(const pb::AdoptTargetRequest& request);
  absl::StatusOr<pb::Adoption> GetAdoption(const std::string& target);
  absl::StatusOr<pb::Run> ForgetRun(const pb::ForgetRunRequest& request);
  absl::StatusOr<std::vector<pb::Run>> PauseAllRuns(const pb::PauseAllRunsRequest& request);
  absl::StatusOr<std::vector<pb::Run>> ResumeAllRuns(const pb::ResumeAllRunsRequest& request);
  absl::StatusOr<pb::BaselineMigrationResponse> BaselineMigration(
      const pb::BaselineMigrationRequest& request);
  absl::StatusOr<std::vector<pb::Run>> ThrottleRun(const pb::ThrottleRunRequest& request);
  absl::StatusOr<pb::Run> GetRun(const std::string& run);
  absl::StatusOr<std::vector<pb::Run>> ListRuns(bool live_only);
  // Live ones, with the signals of those at work, and those that failed with nothing in their
  // place.
  absl::StatusOr<std::vector<pb::Run>> ListRunsOfConcern();
  absl::StatusOr<std::vector<pb::Shard>> ListShards(const std::string& run);
  absl::StatusOr<std::vector<pb::RunEvent>> ListEvents(const std::string& run, bool audit_only);
  absl::StatusOr<std::vector<pb::Agent>> ListAgents();
  absl::StatusOr<std::vector<pb::QuarantinedRow>> ListQuarantinedRows(const std::string& run);
  absl::StatusOr<pb::Run> RetryQuarantinedRows(const pb::RetryQuarantinedRowsRequest& request);
  absl::StatusOr<pb::Run> AcceptQuarantinedRows(const pb::AcceptQuarantinedRowsRequest& request);

  // Reads one stream until it ends or `on_message` answers false. UNAVAILABLE: it broke; go on from
  // the last revision.
  absl::Status Watch(const std::string& run, int64_t after_revision,
                     const std::function<bool(const pb::WatchRunResponse&)>& on_message,
                     std::stop_token stop = {});

 private:
  absl::StatusOr<std::vector<pb::Run>> ListAllRuns(pb::ListRunsRequest request);
  template <typename Service, typename Method, typename Request, typename Response>
  absl::Status Call(std::vector<std::unique_ptr<Service>>& stubs, Method method,
                    const Request& request, Response& response);

  std::vector<std::unique_ptr<pb::RunService::Stub>> runs_;
  std::vector<std::unique_ptr<pb::MigrationService::Stub>> migrations_;
  std::vector<std::unique_ptr<pb::FleetService::Stub>> fleet_;
  std::atomic<size_t> current_ = 0;
  std::string where_;
};

}  // namespace dunlin::cli
