#include "dunlin/v1/migration_service.grpc.pb.h"

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
    return Serve(context, "ResolveTargets", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ResolveTargets(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status CheckGate(grpc::ServerContext* context, const pb::CheckGateRequest* request,
                         pb::CheckGateResponse* response) override {
    return Serve(context, "CheckGate", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.CheckGate(*request));
      return absl::OkStatus();
    });
  }

  grpc::Status BaselineMigration(grpc::ServerContext* context,
                                 const pb::BaselineMigrationRequest* request,
                                 pb::BaselineMigrationResponse* response) override {
    return Serve(context, "BaselineMigration", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.BaselineMigration(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status LookForSchemaLocks(grpc::ServerContext* context,
                                  const pb::LookForSchemaLocksRequest* request,
                                  pb::LookForSchemaLocksResponse* response) override {
    return Serve(context, "LookForSchemaLocks", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.LookForSchemaLocks(*request));
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
