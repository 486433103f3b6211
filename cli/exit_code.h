#pragma once

#include "absl/status/status.h"

#include "dunlin/v1/run.pb.h"

namespace dunlin::cli {

// A contract: scripts rely on it (docs/cli.md).
enum ExitCode {
  kDone = 0,
  kNeedsPerson = 1,  // failed, paused, cancelled
  kUsage = 2,        // bad input, an unknown run
  kNotFinished = 3,  // keep waiting
  kUnreachable = 4,  // coordinator, store or database
  kRefused = 5,      // permission, frozen digest, somebody else at it
  kInterrupted = 130,
};

ExitCode ExitCodeOf(const absl::Status& status);
// Of `status RUN`: 0 FINISHED, 1 PAUSED, FAILED or CANCELLED, 3 else.
ExitCode ExitCodeOf(v1::Run::State state);

}  // namespace dunlin::cli
