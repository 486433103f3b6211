#include "dunlin/agent/v1/agent_service.grpc.pb.h"

#include "common/limits.h"
#include "common/status_macros.h"
#include "coordinator/rpc/serve.h"
#include "coordinator/rpc/services.h"

namespace dunlin::coordinator {
namespace {

absl::Status CheckKey(absl::string_view field, const agent_pb::Key& key) {
  if (key.column_text_size() > kMaxKeyColumns)
    return absl::InvalidArgumentError("a key has too many columns");
  size_t bytes = 0;
  for (const std::string& column : key.column_text()) bytes += column.size();
  if (bytes > static_cast<size_t>(kMaxKeyBytes))
    return CheckText(field, std::string(bytes, ' '), kMaxKeyBytes);
  return absl::OkStatus();
}

class AgentServiceImpl final : public agent_pb::AgentService::Service {
 public:
  explicit AgentServiceImpl(Store& store) : store_(store) {}

  grpc::Status RegisterAgent(grpc::ServerContext* context,
                             const agent_pb::RegisterAgentRequest* request,
                             agent_pb::RegisterAgentResponse* response) override {
    return Serve(context, "RegisterAgent", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckText("name", request->name(), kMaxNameBytes, true));
      if (request->targets_size() < 1 || request->targets_size() > kMaxTargetsPerAgent) {
        return absl::InvalidArgumentError("an agent serves 1 to 256 targets");
      }
      for (const std::string& target : request->targets())
        DUNLIN_RETURN_IF_ERROR(CheckText("targets", target, kMaxNameBytes, true));
      if (request->slots() < 1 || request->slots() > kMaxSlotsPerAgent)
        return absl::InvalidArgumentError("slots must be 1 to 256");
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.RegisterAgent(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status AcquireLeases(grpc::ServerContext* context,
                             const agent_pb::AcquireLeasesRequest* request,
                             agent_pb::AcquireLeasesResponse* response) override {
    return Serve(context, "AcquireLeases", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckText("request_id", request->request_id(), kMaxNameBytes, true));
      if (request->targets_size() > kMaxTargetsPerAgent)
        return absl::InvalidArgumentError("too many targets");
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.AcquireLeases(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status Heartbeat(grpc::ServerContext* context, const agent_pb::HeartbeatRequest* request,
                         agent_pb::HeartbeatResponse* response) override {
    return Serve(context, "Heartbeat", [&]() -> absl::Status {
      if (request->leases_size() > kMaxSlotsPerAgent)
        return absl::InvalidArgumentError("too many leases");
      for (const agent_pb::LeaseReport& lease : request->leases()) {
        DUNLIN_RETURN_IF_ERROR(CheckKey("cursor", lease.checkpoint().cursor()));
        DUNLIN_RETURN_IF_ERROR(
            CheckText("waiting_reason", lease.waiting_reason(), kMaxReasonBytes));
      }
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.Heartbeat(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status ReportSplit(grpc::ServerContext* context,
                           const agent_pb::ReportSplitRequest* request,
                           agent_pb::ReportSplitResponse*) override {
    return Serve(context, "ReportSplit", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckKey("middle", request->middle()));
      return store_.ReportSplit(*request);
    });
  }
  grpc::Status ReportQuarantine(grpc::ServerContext* context,
                                const agent_pb::ReportQuarantineRequest* request,
                                agent_pb::ReportQuarantineResponse* response) override {
    return Serve(context, "ReportQuarantine", [&]() -> absl::Status {
      if (request->rows_size() > kMaxQuarantinedPerReport)
        return absl::InvalidArgumentError("too many rows");
      for (const agent_pb::QuarantinedRow& row : request->rows())
        DUNLIN_RETURN_IF_ERROR(CheckKey("key", row.key()));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ReportQuarantine(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status CompleteShard(grpc::ServerContext* context,
                             const agent_pb::CompleteShardRequest* request,
                             agent_pb::CompleteShardResponse*) override {
    return Serve(context, "CompleteShard", [&] { return store_.CompleteShard(*request); });
  }
  grpc::Status CompleteTask(grpc::ServerContext* context,
                            const agent_pb::CompleteTaskRequest* request,
                            agent_pb::CompleteTaskResponse*) override {
    return Serve(context, "CompleteTask", [&]() -> absl::Status {
      if (request->plan().shards_size() > kMaxShardsPerStep)
        return absl::InvalidArgumentError("a plan has too many shards");
      DUNLIN_RETURN_IF_ERROR(CheckText("message", request->problem().message(), kMaxReasonBytes));
      return store_.CompleteTask(*request);
    });
  }
  grpc::Status ReleaseLeases(grpc::ServerContext* context,
                             const agent_pb::ReleaseLeasesRequest* request,
                             agent_pb::ReleaseLeasesResponse*) override {
    return Serve(context, "ReleaseLeases", [&]() -> absl::Status {
      if (request->releases_size() > kMaxLeasesPerCall)
        return absl::InvalidArgumentError("too many releases");
      for (const auto& release : request->releases()) {
        DUNLIN_RETURN_IF_ERROR(CheckText("message", release.problem().message(), kMaxReasonBytes));
      }
      return store_.ReleaseLeases(*request);
    });
  }
  grpc::Status CompleteTargetTask(grpc::ServerContext* context,
                                  const agent_pb::CompleteTargetTaskRequest* request,
                                  agent_pb::CompleteTargetTaskResponse*) override {
    return Serve(context, "CompleteTargetTask", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckText("task_id", request->task_id(), kMaxNameBytes, true));
      DUNLIN_RETURN_IF_ERROR(CheckText("message", request->problem().message(), kMaxReasonBytes));
      return store_.CompleteTargetTask(*request);
    });
  }

 private:
  Store& store_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAgentService(Store& store) {
  return std::make_unique<AgentServiceImpl>(store);
}

}  // namespace dunlin::coordinator
