#pragma once

#include "absl/status/status.h"
#include <grpcpp/support/status.h>

namespace dunlin {

// Codes map one to one; the reason (status_util.h) travels as dunlin.v1.ErrorDetail.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace dunlin
