#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/ledger/session.h"
#include "agent/signals/crowding.h"
#include "agent/signals/lock_watch.h"
#include "agent/signals/probe.h"
#include "agent/signals/signal.h"
#include "agent/signals/slowdown.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace dunlin::agent {

// What was measured within a second.
struct SignalReport {
  std::vector<SignalSample> samples;
  absl::Duration deadlock_timeout;
  absl::Duration alone;  // how long nobody but Dunlin has been at work, as far as was seen
};

// Measures one target while it has the duty to, on a thread and a connection of its own: locks and
// a one-row read several times a second, everything once. Thread safety: any thread.
class SignalSampler {
 public:
  // References outlive it. `somebody_came`, on the sampler's thread: there is a report that a run
  // at full speed cannot wait for.
  SignalSampler(std::string target, const SessionFactory& sessions,
                std::function<void()> somebody_came, Clock& clock);
  ~SignalSampler();

  // nullopt = not, or no longer, this agent's duty.
  void SetDuty(std::optional<std::vector<MeasuredRun>> runs);
  // The latest report that was not taken yet.
  std::optional<SignalReport> Take();

 private:
  void Run(std::stop_token stop);
  // One look; a report once a second, and when somebody comes.
  absl::Status Tick(std::stop_token stop, const std::vector<MeasuredRun>& runs);
  // A second's samples.
  absl::Status Measure(const std::vector<MeasuredRun>& runs);
  void MeasureAll(const std::vector<MeasuredRun>& runs, std::vector<SignalSample>& samples);
  // So that people who have only SQL see why a run is slow.
  bool Alone() const;
  absl::Status NotePace(const std::vector<MeasuredRun>& runs);
  void Forget();

  const std::string target_;
  const SessionFactory& sessions_;
  const std::function<void()> somebody_came_;
  Clock& clock_;

  // Of the thread.
  std::unique_ptr<pg::Connection> connection_;
  std::vector<std::unique_ptr<Signal>> signals_;
  LockWatch locks_;
  ProbeWatch probe_;
  SlowdownWatch slowdown_;
  CrowdingWatch crowding_;
  std::vector<SignalSample> samples_;  // of the latest second; empty = none yet
  int looks_ = 0;                      // at locks, of the first ones
  absl::Duration looked_at_ = -absl::InfiniteDuration();
  absl::Duration reported_at_ = -absl::InfiniteDuration();
  struct Noted {
    std::string reason;
    absl::Duration at;
  };
  std::map<std::string, Noted> noted_;  // by run, of those in work

  Mutex mutex_;
  CondVar changed_;
  std::optional<std::vector<MeasuredRun>> duty_ ABSL_GUARDED_BY(mutex_);
  std::optional<SignalReport> report_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;  // last: stops before the rest goes
};

}  // namespace dunlin::agent
