#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include <grpcpp/server_context.h>

#include "coordinator/rpc/requests.h"
#include "coordinator/store/store.h"

namespace dunlin::coordinator {

// Around every unary call: refuses a request that breaks a limit (requests.h), converts the
// outcome, and logs what is neither an answer nor the caller's mistake.
grpc::Status ServeChecked(grpc::ServerContext* context, const char* method,
                          const std::function<absl::Status()>& check,
                          const std::function<absl::Status()>& body);

template <typename Request>
grpc::Status Serve(grpc::ServerContext* context, const char* method, const Request& request,
                   const std::function<absl::Status()>& body) {
  return ServeChecked(
      context, method, [&] { return CheckRequest(request); }, body);
}

// Where a command came from, for the audit log; a call inside this process has no address.
inline Caller CallerOf(const grpc::ServerContext& context) {
  const std::string peer = context.peer();
  return {.peer = peer == "unknown" ? std::string() : peer};
}

}  // namespace dunlin::coordinator
