#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "agent/lease.h"
#include "common/migration/definition.h"
#include "common/mutex.h"

namespace dunlin::agent {

// Decides which definitions this agent runs, and parses them once each: the bytes must have the
// digest that the run recorded (I9), and, with a directory, be those of a file in it (section "who
// trusts whom" of docs/architecture.md). Thread safety: any thread. Holds at most kMaxCached
// definitions (I10).
class DefinitionSource {
 public:
  DefinitionSource(std::string directory, bool any_migration);
  // FAILED_PRECONDITION with a sentence when it may not run here.
  absl::StatusOr<std::shared_ptr<const Definition>> Get(const RunSpec& run);

 private:
  static constexpr size_t kMaxCached = 64;
  absl::Status CheckAllowed(const RunSpec& run) const;

  const std::string directory_;
  const bool any_migration_;
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<const Definition>> by_digest_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::agent
