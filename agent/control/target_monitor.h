#pragma once

#include <string>
#include <thread>

#include "agent/control/coordinator_client.h"
#include "agent/ledger/session.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace dunlin::agent {

// Looks at one target once a second on a connection of its own: is it there, which server is it (a
// rising timeline is a failover), is anybody else active? Thread safety: any thread.
class TargetMonitor {
 public:
  // `sessions` and `clock` outlive it.
  TargetMonitor(std::string target, const SessionFactory& sessions, Clock& clock);
  ~TargetMonitor();
  // An empty system identifier: cannot be reached at present.
  TargetStatus Latest() const;
  // Until it has looked once, at most `timeout`: an agent that asks for work before gets none.
  void WaitForFirstLook(absl::Duration timeout);

 private:
  void Run(std::stop_token stop);
  absl::StatusOr<TargetStatus> Look(std::stop_token stop);

  const std::string target_;
  const SessionFactory& sessions_;
  Clock& clock_;
  std::unique_ptr<pg::Connection> connection_;  // of the thread
  mutable Mutex mutex_;
  CondVar looked_;
  bool has_looked_ ABSL_GUARDED_BY(mutex_) = false;
  TargetStatus latest_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;  // last: stops before the rest goes
};

}  // namespace dunlin::agent
