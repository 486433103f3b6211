#pragma once

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "agent/agent.h"
#include "common/pg/connection.h"
#include "common/secret.h"
#include "coordinator/coordinator.h"

namespace dunlin::cli {

// Session-level, on a connection that does nothing else: as long as it lives, so does this process.
struct LocalLock {
  std::unique_ptr<pg::Connection> connection;
  std::string database;
};
// PERMISSION_DENIED: another process that does the work of `dunlin local` lives, and does so for
// longer than `wait`.
absl::StatusOr<LocalLock> TakeLocalLock(const Secret& dsn, absl::Duration wait);

// The agent of a command that has work done in a database and then ends: what `dunlin local` is for
// as long as it runs. Works from construction; the destructor drains it.
class LocalAgent {
 public:
  // Errors: as TakeLocalLock and Agent::Make.
  static absl::StatusOr<std::unique_ptr<LocalAgent>> Make(coordinator::Coordinator& coordinator,
                                                          const Secret& dsn);

 private:
  LocalAgent(LocalLock lock, std::unique_ptr<agent::Agent> agent);

  const LocalLock lock_;
  const std::unique_ptr<agent::Agent> agent_;
  std::jthread worker_;  // last: ends before the rest goes
};

}  // namespace dunlin::cli
