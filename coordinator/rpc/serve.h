#pragma once

#include <functional>

#include "absl/status/status.h"
#include <grpcpp/server_context.h>

#include "coordinator/rpc/requests.h"

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

}  // namespace dunlin::coordinator
