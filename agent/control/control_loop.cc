#include "agent/control/control_loop.h"

#include <algorithm>
#include <utility>

#include "common/fault.h"
#include "common/log.h"

namespace dunlin::agent {
namespace {
// While no coordinator answers; short, since a restarted one should find its agents within a
// second.
constexpr absl::Duration kRetryBase = absl::Milliseconds(100);
constexpr absl::Duration kRetryCap = absl::Seconds(1);
// With a free slot and a live run, work may come any moment: asked for soon, then ever less often,
// up to the interval of heartbeats, so that many idle agents are no load.
constexpr absl::Duration kIdlePollBase = absl::Milliseconds(40);
}  // namespace

ControlLoop::ControlLoop(Options options, CoordinatorClient& client,
                         const std::vector<std::unique_ptr<TargetMonitor>>& monitors, StartFn start,
                         AskFn ask, Signals signals, Clock& clock)
    : options_(std::move(options)),
      client_(client),
      monitors_(monitors),
      start_(std::move(start)),
      ask_(std::move(ask)),
      signals_(std::move(signals)),
      clock_(clock),
      backoff_(kRetryBase, kRetryCap, Random01) {}

AgentId ControlLoop::agent() const {
  MutexLock lock(mutex_);
  return agent_;
}

std::vector<TargetStatus> ControlLoop::Targets() const {
  std::vector<TargetStatus> targets;
  for (const auto& monitor : monitors_) targets.push_back(monitor->Latest());
  return targets;
}

void ControlLoop::LogTrouble(const char* what, const absl::Status& status) {
  if (clock_.Monotonic() - last_log_ < kLogEvery) return;
  last_log_ = clock_.Monotonic();
  LOG(WARNING) << Event(what).Kv("why", status.message());
}

bool ControlLoop::Register() {
  // The same id is asked again: an answer that was lost leaves no second agent behind.
  if (register_id_.empty()) register_id_ = MakeUuid();
  auto registered = client_.Register(register_id_, options_.name, options_.targets, options_.slots);
  if (!registered.ok()) {
    LogTrouble("coordinator_unreachable", registered.status());
    return false;
  }
  registration_ = *registered;
  registered_ = true;
  register_id_.clear();
  acquire_id_.clear();
  last_log_ = -absl::InfiniteDuration();
  LOG(INFO) << Event("registered").Kv("agent", registration_.agent).Kv("name", options_.name);
  MutexLock lock(mutex_);
  agent_ = registration_.agent;
  return true;
}

void ControlLoop::Heartbeat() {
  std::vector<LeaseReport> reports;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, handle] : held_) {
      LeaseHandle::Report report = handle->TakeReport();
      reports.push_back({.id = id,
                         .checkpoint = std::move(report.checkpoint),
                         .rows_left = report.rows_left,
                         .waiting_reason = std::move(report.waiting_reason)});
    }
  }
  if (const absl::Status fault = DUNLIN_FAULT("agent.heartbeat.before"); !fault.ok()) return;
  std::vector<std::string> pending;
  if (!acquire_id_.empty()) pending.push_back(acquire_id_);
  std::vector<TargetStatus> targets = Targets();
  for (TargetStatus& target : targets) target.report = signals_.take(target.identity.target);
  const absl::Duration sent_at = clock_.Monotonic();
  auto answer = client_.Heartbeat(registration_.agent, reports, targets, pending);
  if (absl::IsNotFound(answer.status())) {
    registered_ = false;  // a store that does not know us: register again
    return;
  }
  if (!answer.ok()) {
    last_live_ = clock_.Monotonic();  // unknown: who cannot ask is not idle
    LogTrouble("heartbeat_failed", answer.status());
    next_heartbeat_ = clock_.Monotonic() + backoff_.Next();
    return;
  }
  backoff_.Reset();
  last_log_ = -absl::InfiniteDuration();
  next_heartbeat_ = sent_at + registration_.heartbeat_interval;
  if (answer->runs_live && !runs_live_) idle_poll_ = kIdlePollBase;
  runs_live_ = answer->runs_live;
  if (runs_live_ || !reports.empty()) last_live_ = clock_.Monotonic();
  Apply(*answer, sent_at);
  for (TargetTask& task : answer->target_tasks) ask_(std::move(task));
  signals_.set_duties(answer->signal_duties);
}

void ControlLoop::Apply(const HeartbeatAnswer& answer, absl::Duration sent_at) {
  MutexLock lock(mutex_);
  for (const Directive& directive : answer.directives) {
    const auto it = held_.find(directive.lease);
    if (it == held_.end()) continue;
    LeaseHandle& handle = *it->second;
    switch (directive.action) {
      case Directive::Action::kLost:
        LOG(INFO) << Event("lease_lost").Kv("lease", directive.lease);
        handle.Lose();
        break;
      case Directive::Action::kStop:
        handle.Renew(sent_at, directive.duration, directive.limits);
        handle.Drain();
        break;
      case Directive::Action::kSplit:
        handle.RequestSplit();
        [[fallthrough]];
      case Directive::Action::kRenew:
        handle.Renew(sent_at, directive.duration, directive.limits);
        break;
    }
  }
}

void ControlLoop::Acquire() {
  int free = 0;
  {
    MutexLock lock(mutex_);
    slot_freed_ = false;
    free = options_.slots - static_cast<int>(held_.size());
  }
  next_acquire_ = absl::InfiniteDuration();
  if (free <= 0) return;
  if (acquire_id_.empty()) acquire_id_ = MakeUuid();
  const absl::Duration sent_at = clock_.Monotonic();
  auto leases = client_.AcquireLeases(registration_.agent, acquire_id_, free, Targets());
  if (absl::IsNotFound(leases.status())) registered_ = false;
  if (!leases.ok()) {
    LogTrouble("acquire_failed", leases.status());
    // The same id is asked again: leases whose answer was lost are found, not leaked (trap 19).
    return;
  }
  acquire_id_.clear();
  if (!leases->empty()) idle_poll_ = kIdlePollBase;
  const bool room = free > static_cast<int>(leases->size());
  if (room && runs_live_) {
    next_acquire_ = clock_.Monotonic() + idle_poll_;
    idle_poll_ = std::min(2 * idle_poll_, registration_.heartbeat_interval);
  }
  for (Lease& lease : *leases) {
    auto handle = std::make_shared<LeaseHandle>(std::move(lease), sent_at, clock_);
    {
      MutexLock lock(mutex_);
      if (!held_.emplace(handle->lease().id, handle).second) continue;  // told twice
    }
    start_(handle);
  }
}

void ControlLoop::Finished(const LeaseId& lease) {
  MutexLock lock(mutex_);
  held_.erase(lease);
  slot_freed_ = true;
  wake_.NotifyAll();
}

void ControlLoop::HeartbeatNow() {
  MutexLock lock(mutex_);
  heartbeat_now_ = true;
  wake_.NotifyAll();
}

void ControlLoop::Drain() {
  draining_ = true;
  MutexLock lock(mutex_);
  for (const auto& [id, handle] : held_) handle->Drain();
}

bool ControlLoop::HeartbeatIsDue() {
  MutexLock lock(mutex_);
  return std::exchange(heartbeat_now_, false) || clock_.Monotonic() >= next_heartbeat_;
}

void ControlLoop::WaitForNext(std::stop_token stop) {
  MutexLock lock(mutex_);
  while (!slot_freed_ && !heartbeat_now_ && !(stop.stop_requested() && !draining_)) {
    const absl::Duration left = std::min(next_heartbeat_, next_acquire_) - clock_.Monotonic();
    if (left <= absl::ZeroDuration()) return;
    wake_.WaitFor(mutex_, left);
  }
}

void ControlLoop::Run(std::stop_token stop) {
  const std::stop_callback wake_up(stop, [this] {
    MutexLock lock(mutex_);
    wake_.NotifyAll();
  });
  last_live_ = clock_.Monotonic();
  while (true) {
    const bool idle_for_long = clock_.Monotonic() - last_live_ > options_.exit_when_idle;
    if ((stop.stop_requested() || idle_for_long) && !draining_) Drain();
    {
      MutexLock lock(mutex_);
      if (draining_ && held_.empty()) return;
    }
    if (!registered_ && !Register()) {
      last_live_ = clock_.Monotonic();
      // Draining without a coordinator: the leases end by themselves, the workers at their next
      // look.
      clock_.SleepFor(backoff_.Next(), draining_ ? std::stop_token() : stop);
      continue;
    }
    if (HeartbeatIsDue()) Heartbeat();
    if (registered_ && !draining_) Acquire();
    WaitForNext(stop);
  }
}

}  // namespace dunlin::agent
