#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/control/coordinator_client.h"
#include "agent/control/target_monitor.h"
#include "agent/work/lease_handle.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace dunlin::agent {

// One heartbeat for all leases: checkpoints and signals up, renewals, limits and commands down;
// acquires leases for free slots. Run() is one thread's; Finished() and HeartbeatNow()
// may be called from any.
class ControlLoop {
 public:
  struct Options {
    std::string name;
    std::vector<std::string> targets;
    int slots = 4;
    absl::Duration exit_when_idle = absl::InfiniteDuration();
  };
  // Hands a granted lease to a worker; called from Run()'s thread only.
  using StartFn = std::function<void(std::shared_ptr<LeaseHandle>)>;
  // Hands on what a target is asked; the same.
  using AskFn = std::function<void(TargetTask)>;
  // What this agent measures for others; the same.
  struct Signals {
    // The latest report on a target that was not taken yet.
    std::function<std::optional<SignalReport>(const std::string&)> take;
    // The targets to measure from now on; none that is not listed.
    std::function<void(const std::vector<SignalDuty>&)> set_duties;
  };

  // References outlive the loop.
  ControlLoop(Options options, CoordinatorClient& client,
              const std::vector<std::unique_ptr<TargetMonitor>>& monitors, StartFn start, AskFn ask,
              Signals signals, Clock& clock);

  // Until `stop` is requested, or idle for long enough. Then drains: asks every worker to end after
  // the batch in flight and goes on with heartbeats until all have.
  void Run(std::stop_token stop);

  // A worker has ended with this lease and has reported it. Wakes the loop, so that the slot is
  // filled at once.
  void Finished(const LeaseId& lease);
  // There is something to tell that cannot wait for the next heartbeat.
  void HeartbeatNow();
  AgentId agent() const;

 private:
  bool Register();
  void Heartbeat();
  void Apply(const HeartbeatAnswer& answer, absl::Duration sent_at);
  void Acquire();
  void Drain();
  bool HeartbeatIsDue();
  void WaitForNext(std::stop_token stop);
  void LogTrouble(const char* what, const absl::Status& status);
  std::vector<TargetStatus> Targets() const;

  const Options options_;
  CoordinatorClient& client_;
  const std::vector<std::unique_ptr<TargetMonitor>>& monitors_;
  const StartFn start_;
  const AskFn ask_;
  const Signals signals_;
  Clock& clock_;
  Backoff backoff_;

  // Run()'s thread only.
  Registration registration_;
  bool registered_ = false;
  std::string register_id_;  // of a registration whose answer is still awaited
  bool draining_ = false;
  std::string acquire_id_;  // of an AcquireLeases whose answer is still awaited: asked again under
                            // the same id
  absl::Duration last_live_ = absl::ZeroDuration();
  absl::Duration last_log_ = -absl::InfiniteDuration();
  absl::Duration next_heartbeat_ = absl::ZeroDuration();
  absl::Duration next_acquire_ = absl::InfiniteDuration();
  absl::Duration idle_poll_ = absl::ZeroDuration();
  bool runs_live_ = false;

  mutable Mutex mutex_;
  CondVar wake_;
  std::map<LeaseId, std::shared_ptr<LeaseHandle>> held_ ABSL_GUARDED_BY(mutex_);
  bool slot_freed_ ABSL_GUARDED_BY(mutex_) = false;
  bool heartbeat_now_ ABSL_GUARDED_BY(mutex_) = false;
  AgentId agent_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::agent
