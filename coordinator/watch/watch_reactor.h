#pragma once

#include <string>

#include <grpcpp/support/server_callback.h>

#include "dunlin/v1/run_service.pb.h"

#include "coordinator/watch/revision_hub.h"

namespace dunlin::coordinator {

// The stream of one watcher; owns itself until gRPC is done with it. `hub` outlives every stream.
grpc::ServerWriteReactor<pb::WatchRunResponse>* StartWatch(RevisionHub& hub, const std::string& run,
                                                           int64_t after_revision);
// One that ends at once, with this status.
grpc::ServerWriteReactor<pb::WatchRunResponse>* RefuseWatch(const absl::Status& status);

}  // namespace dunlin::coordinator
