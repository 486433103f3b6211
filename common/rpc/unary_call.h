#pragma once

#include <chrono>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include <grpcpp/client_context.h>

#include "common/call_fault.h"
#include "common/rpc/status_convert.h"

namespace dunlin {

// One try of a unary call on a generated stub. Blocking: at most `timeout`. Errors: the server's
// own; UNAVAILABLE it cannot be reached; DEADLINE_EXCEEDED whether it took effect is not known.
template <typename Stub, typename Method, typename Request, typename Response>
absl::Status CallOnce(Stub& stub, Method method, absl::Duration timeout, const Request& request,
                      Response& response) {
  const CallFault fault = DUNLIN_CALL("stub.unary", request.GetTypeName());
  if (fault.Before()) return absl::UnavailableError("the call was not sent");
  const absl::Time deadline = absl::Now() + fault.Bound(timeout);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(deadline));
  response.Clear();
  const absl::Status status = FromGrpc((stub.*method)(&context, request, &response));
  if (fault.After()) return absl::UnavailableError("the answer was lost");
  if (fault.Hangs()) {
    absl::SleepFor(deadline - absl::Now());
    return absl::DeadlineExceededError("no answer in time");
  }
  return status;
}

}  // namespace dunlin
