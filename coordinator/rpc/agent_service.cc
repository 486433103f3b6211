#include "dunlin/agent/v1/agent_service.grpc.pb.h"

#include "common/status_macros.h"
#include "coordinator/rpc/serve.h"
#include "coordinator/rpc/services.h"

namespace dunlin::coordinator {
namespace {

class AgentServiceImpl final : public agent_pb::AgentService::Service {
 public:
  explicit AgentServiceImpl(Store& store) : store_(store) {}

  grpc::Status RegisterAgent(grpc::ServerContext* context,
                             const agent_pb::RegisterAgentRequest* request,
                             agent_pb::RegisterAgentResponse* response) override {
    return Serve(context, "RegisterAgent", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.RegisterAgent(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status AcquireLeases(grpc::ServerContext* context,
                             const agent_pb::AcquireLeasesRequest* request,
                             agent_pb::AcquireLeasesResponse* response) override {
    return Serve(context, "AcquireLeases", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.AcquireLeases(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status Heartbeat(grpc::ServerContext* context, const agent_pb::HeartbeatRequest* request,
                         agent_pb::HeartbeatResponse* response) override {
    return Serve(context, "Heartbeat", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.Heartbeat(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status ReportSplit(grpc::ServerContext* context,
                           const agent_pb::ReportSplitRequest* request,
                           agent_pb::ReportSplitResponse*) override {
    return Serve(context, "ReportSplit", *request, [&] { return store_.ReportSplit(*request); });
  }
  grpc::Status ReportQuarantine(grpc::ServerContext* context,
                                const agent_pb::ReportQuarantineRequest* request,
                                agent_pb::ReportQuarantineResponse* response) override {
    return Serve(context, "ReportQuarantine", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ReportQuarantine(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status CompleteShard(grpc::ServerContext* context,
                             const agent_pb::CompleteShardRequest* request,
                             agent_pb::CompleteShardResponse*) override {
    return Serve(context, "CompleteShard", *request,
                 [&] { return store_.CompleteShard(*request); });
  }
  grpc::Status CompleteTask(grpc::ServerContext* context,
                            const agent_pb::CompleteTaskRequest* request,
                            agent_pb::CompleteTaskResponse*) override {
    return Serve(context, "CompleteTask", *request, [&] { return store_.CompleteTask(*request); });
  }
  grpc::Status ReleaseLeases(grpc::ServerContext* context,
                             const agent_pb::ReleaseLeasesRequest* request,
                             agent_pb::ReleaseLeasesResponse*) override {
    return Serve(context, "ReleaseLeases", *request,
                 [&] { return store_.ReleaseLeases(*request); });
  }
  grpc::Status CompleteTargetTask(grpc::ServerContext* context,
                                  const agent_pb::CompleteTargetTaskRequest* request,
                                  agent_pb::CompleteTargetTaskResponse*) override {
    return Serve(context, "CompleteTargetTask", *request,
                 [&] { return store_.CompleteTargetTask(*request); });
  }

 private:
  Store& store_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAgentService(Store& store) {
  return std::make_unique<AgentServiceImpl>(store);
}

}  // namespace dunlin::coordinator
