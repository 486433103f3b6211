#include "coordinator/rpc/serve.h"

#include "common/call_fault.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/rpc/status_convert.h"

namespace dunlin::coordinator {

grpc::Status ServeChecked(grpc::ServerContext* context, const char* method,
                          const std::function<absl::Status()>& check,
                          const std::function<absl::Status()>& body) {
  if (context->IsCancelled())
    return grpc::Status(grpc::StatusCode::CANCELLED, "the caller is gone");
  DUNLIN_CALLS_FOR(method);
  absl::Status status = DUNLIN_FAULT("coordinator.rpc.before");
  if (status.ok()) status = check();
  if (status.ok()) status = body();
  if (status.ok()) status = DUNLIN_FAULT("coordinator.rpc.after");
  if (absl::IsInternal(status) || absl::IsDataLoss(status)) {
    LOG(ERROR) << Event("rpc_failed").Kv("method", method).Kv("why", status.message());
  } else if (absl::IsUnavailable(status)) {
    LOG_EVERY_N(WARNING, 100)
        << Event("rpc_unavailable").Kv("method", method).Kv("why", status.message());
  }
  return ToGrpc(status);
}

}  // namespace dunlin::coordinator
