#include "coordinator/rpc/serve.h"

#include "absl/strings/str_cat.h"

#include "common/call_fault.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/rpc/status_convert.h"

namespace dunlin::coordinator {

grpc::Status Serve(grpc::ServerContext* context, const char* method,
                   const std::function<absl::Status()>& body) {
  if (context->IsCancelled())
    return grpc::Status(grpc::StatusCode::CANCELLED, "the caller is gone");
  DUNLIN_CALLS_FOR(method);
  absl::Status status = DUNLIN_FAULT("coordinator.rpc.before");
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

absl::Status CheckText(absl::string_view field, absl::string_view value, int64_t bytes_max,
                       bool required) {
  if (required && value.empty())
    return absl::InvalidArgumentError(absl::StrCat(field, " is missing"));
  if (static_cast<int64_t>(value.size()) > bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(field, " is longer than ", bytes_max, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace dunlin::coordinator
