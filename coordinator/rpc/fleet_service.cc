#include "dunlin/v1/fleet_service.grpc.pb.h"

#include "common/status_macros.h"
#include "coordinator/rpc/serve.h"
#include "coordinator/rpc/services.h"

namespace dunlin::coordinator {
namespace {

class FleetServiceImpl final : public pb::FleetService::Service {
 public:
  explicit FleetServiceImpl(Store& store) : store_(store) {}
  grpc::Status ListAgents(grpc::ServerContext* context, const pb::ListAgentsRequest* request,
                          pb::ListAgentsResponse* response) override {
    return Serve(context, "ListAgents", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ListAgents(*request));
      return absl::OkStatus();
    });
  }

  grpc::Status AdoptTarget(grpc::ServerContext* context, const pb::AdoptTargetRequest* request,
                           pb::AdoptTargetResponse* response) override {
    return Serve(context, "AdoptTarget", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.AdoptTarget(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status GetAdoption(grpc::ServerContext* context, const pb::GetAdoptionRequest* request,
                           pb::GetAdoptionResponse* response) override {
    return Serve(context, "GetAdoption", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.GetAdoption(*request));
      return absl::OkStatus();
    });
  }

 private:
  Store& store_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFleetService(Store& store) {
  return std::make_unique<FleetServiceImpl>(store);
}

}  // namespace dunlin::coordinator
