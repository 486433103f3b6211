#pragma once

#include <functional>

#include "absl/status/status.h"
#include <grpcpp/server_context.h>

namespace dunlin::coordinator {

// Around every unary call: converts the outcome, and logs what is neither an answer nor the
// caller's mistake.
grpc::Status Serve(grpc::ServerContext* context, const char* method,
                   const std::function<absl::Status()>& body);

// INVALID_ARGUMENT naming the field when a string of a request is longer than its limit (limits.h)
// or, if required, empty.
absl::Status CheckText(absl::string_view field, absl::string_view value, int64_t bytes_max,
                       bool required = false);

}  // namespace dunlin::coordinator
