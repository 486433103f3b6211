// The gRPC edge: bounds, store call, status; no rules here.
#pragma once

#include <memory>

#include <grpcpp/impl/codegen/service_type.h>

#include "coordinator/store/store.h"
#include "coordinator/watch/revision_hub.h"

namespace dunlin::coordinator {

// `store` and `hub` outlive the services.
std::unique_ptr<grpc::Service> MakeRunService(Store& store, RevisionHub& hub);
std::unique_ptr<grpc::Service> MakeMigrationService(Store& store);
std::unique_ptr<grpc::Service> MakeFleetService(Store& store);
std::unique_ptr<grpc::Service> MakeAgentService(Store& store);

}  // namespace dunlin::coordinator
