#include "cli/exit_code.h"

namespace dunlin::cli {

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kOutOfRange:
      return kUsage;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kRefused;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
      return kUnreachable;
    case absl::StatusCode::kCancelled:
      return kInterrupted;
    default:
      return kNeedsPerson;
  }
}

ExitCode ExitCodeOf(v1::Run::State state) {
  switch (state) {
    case v1::Run::STATE_FINISHED:
      return kDone;
    case v1::Run::STATE_PAUSED:
    case v1::Run::STATE_FAILED:
    case v1::Run::STATE_CANCELLED:
      return kNeedsPerson;
    default:
      return kNotFinished;
  }
}

}  // namespace dunlin::cli
