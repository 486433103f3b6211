#include "agent/control/target_monitor.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/statements.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {
constexpr absl::Duration kInterval = absl::Seconds(1);
// Quicker while the target is away: an agent waits for it, and looking costs one refused
// connection.
constexpr absl::Duration kIntervalWhileAway = absl::Milliseconds(250);
// A server that is gone without a word must not hide its successor for long.
constexpr absl::Duration kLookTimeout = absl::Seconds(4);
}  // namespace

TargetMonitor::TargetMonitor(std::string target, const SessionFactory& sessions, Clock& clock)
    : target_(std::move(target)), sessions_(sessions), clock_(clock) {
  latest_.identity.target = target_;
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

TargetMonitor::~TargetMonitor() = default;

TargetStatus TargetMonitor::Latest() const {
  MutexLock lock(mutex_);
  return latest_;
}

void TargetMonitor::WaitForFirstLook(absl::Duration timeout) {
  const absl::Duration until = clock_.Monotonic() + timeout;
  MutexLock lock(mutex_);
  while (!has_looked_ && clock_.Monotonic() < until)
    looked_.WaitFor(mutex_, until - clock_.Monotonic());
}

absl::StatusOr<TargetStatus> TargetMonitor::Look(std::stop_token stop) {
  if (connection_ == nullptr || connection_->broken()) {
    DUNLIN_ASSIGN_OR_RETURN(connection_, sessions_.OpenForTask(absl::Seconds(3), "", stop));
  }
  TargetStatus status;
  DUNLIN_ASSIGN_OR_RETURN(status.identity, ReadIdentity(*connection_, target_,
                                                        {.timeout = kLookTimeout, .stop = stop}));
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result foreign,
      connection_->Execute(sql::kForeignTransactions, {}, {.timeout = kLookTimeout, .stop = stop}));
  status.foreign_transactions = static_cast<int>(foreign.Int(0, 0));
  return status;
}

void TargetMonitor::Run(std::stop_token stop) {
  absl::Duration logged_at = -absl::InfiniteDuration();
  bool away = false;
  while (!stop.stop_requested()) {
    absl::StatusOr<TargetStatus> looked = Look(stop);
    if (!looked.ok() && !stop.stop_requested()) {
      if (clock_.Monotonic() - logged_at > kLogEvery) {
        LOG(WARNING) << Event("target_unreachable")
                            .Kv("target", target_)
                            .Kv("why", looked.status().message());
        logged_at = clock_.Monotonic();
      }
      away = true;
      connection_.reset();
    } else if (looked.ok() && away) {
      LOG(INFO) << Event("target_reached").Kv("target", target_);
      away = false;
      logged_at = -absl::InfiniteDuration();
    }
    {
      MutexLock lock(mutex_);
      has_looked_ = true;
      looked_.NotifyAll();
      latest_ = looked.ok() ? *looked : TargetStatus{.identity = {.target = target_}};
    }
    clock_.SleepFor(away ? kIntervalWhileAway : kInterval, stop);
  }
}

}  // namespace dunlin::agent
