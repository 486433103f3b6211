#include "dunlin/v1/migration_service.grpc.pb.h"

#include "common/limits.h"
#include "common/status_macros.h"
#include "coordinator/rpc/serve.h"
#include "coordinator/rpc/services.h"

namespace dunlin::coordinator {
namespace {

class MigrationServiceImpl final : public pb::MigrationService::Service {
 public:
  explicit MigrationServiceImpl(Store& store) : store_(store) {}

  grpc::Status ResolveTargets(grpc::ServerContext* context,
                              const pb::ResolveTargetsRequest* request,
                              pb::ResolveTargetsResponse* response) override {
    return Serve(context, "ResolveTargets", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckText("migration", request->migration(), kMaxNameBytes, true));
      DUNLIN_RETURN_IF_ERROR(
          CheckText("definition", request->definition(), kMaxDefinitionBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ResolveTargets(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status CheckGate(grpc::ServerContext* context, const pb::CheckGateRequest* request,
                         pb::CheckGateResponse* response) override {
    return Serve(context, "CheckGate", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckText("migration", request->migration(), kMaxNameBytes, true));
      DUNLIN_RETURN_IF_ERROR(CheckText("definition", request->definition(), kMaxDefinitionBytes));
      if (request->soak_duration().seconds() < 0 ||
          request->confirmed_within_duration().seconds() < 0) {
        return absl::InvalidArgumentError("a duration must not be negative");
      }
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.CheckGate(*request));
      return absl::OkStatus();
    });
  }

  grpc::Status BaselineMigration(grpc::ServerContext* context,
                                 const pb::BaselineMigrationRequest* request,
                                 pb::BaselineMigrationResponse* response) override {
    return Serve(context, "BaselineMigration", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("reason", request->reason(), kMaxReasonBytes, true));
      DUNLIN_RETURN_IF_ERROR(CheckText("migration", request->migration(), kMaxNameBytes, true));
      DUNLIN_RETURN_IF_ERROR(
          CheckText("definition", request->definition(), kMaxDefinitionBytes, true));
      DUNLIN_RETURN_IF_ERROR(CheckText("target", request->target(), kMaxNameBytes));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.BaselineMigration(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }

 private:
  Store& store_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeMigrationService(Store& store) {
  return std::make_unique<MigrationServiceImpl>(store);
}

}  // namespace dunlin::coordinator
