#pragma once

#include <string>

#include "absl/status/status.h"

namespace dunlin::agent {

// What to do about a failed batch.
enum class ErrorAction {
  kRetry,         // heals by itself: back off, same size
  kRetrySmaller,  // took too long or met a lock: back off, a quarter of the size
  kBisect,        // the data's: halve the range until the row is found
  kFailRun,       // the definition's: no try will ever succeed
  kLeaseLost,     // a newer epoch owns the shard (I3): drop the lease
  kStopped,       // the DBA's switch in the database: wait for dunlin.go()
  kReconnect,     // the connection is gone, or the outcome is in doubt: a fresh grant settles it
};

// By SQLSTATE (trap 6). Pure.
ErrorAction ClassifyError(const absl::Status& status);

}  // namespace dunlin::agent
