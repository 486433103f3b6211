#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include <grpcpp/server_context.h>

#include "common/limits.h"
#include "common/status_macros.h"
#include "coordinator/store/store.h"

namespace dunlin::coordinator {

// Around every unary call: converts the outcome, and logs what is neither an answer nor the
// caller's mistake.
grpc::Status Serve(grpc::ServerContext* context, const char* method,
                   const std::function<absl::Status()>& body);

// INVALID_ARGUMENT naming the field when a string of a request is longer than its limit (limits.h)
// or, if required, empty.
absl::Status CheckText(absl::string_view field, absl::string_view value, int64_t bytes_max,
                       bool required = false);

// What every command carries.
template <typename Request>
absl::Status CheckCommand(const Request& request) {
  DUNLIN_RETURN_IF_ERROR(CheckText("request_id", request.request_id(), kMaxNameBytes, true));
  DUNLIN_RETURN_IF_ERROR(CheckText("operator_name", request.operator_name(), kMaxNameBytes, true));
  return CheckText("reason", request.reason(), kMaxReasonBytes);
}

// Where a command came from, for the audit log; a call inside this process has no address.
inline Caller CallerOf(const grpc::ServerContext& context) {
  const std::string peer = context.peer();
  return {.peer = peer == "unknown" ? std::string() : peer};
}

}  // namespace dunlin::coordinator
