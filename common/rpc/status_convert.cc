#include "common/rpc/status_convert.h"

#include <string>

#include "dunlin/v1/error.pb.h"

#include "common/status_util.h"

namespace dunlin {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  v1::ErrorDetail detail;
  detail.set_reason(ReasonOf(status));
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()),
                      std::string(status.message()),
                      detail.reason().empty() ? std::string() : detail.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status out(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  v1::ErrorDetail detail;
  if (!status.error_details().empty() && detail.ParseFromString(status.error_details()) &&
      !detail.reason().empty()) {
    out = WithReason(out, detail.reason());
  }
  return out;
}

}  // namespace dunlin
