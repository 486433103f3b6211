#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "agent/lease.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace dunlin::agent {

// What the control loop and a worker tell each other about one lease.
//
// The worker asks whether it may go on and posts its latest checkpoint; the control loop posts
// directives and reads reports. Only the latest of each is kept (I10). Thread safety: any thread.
// Blocking: only Wait().
class LeaseHandle {
 public:
  // `sent_at`: monotonic time before the request was sent that brought the lease. `clock` outlives
  // the handle.
  LeaseHandle(Lease lease, absl::Duration sent_at, Clock& clock);

  const Lease& lease() const { return lease_; }

  // --- the worker's side -----------------------------------------------------------------------
  // Believed to be ours: not lost, not expired (with a margin). Only a belief: the ledger's fence
  // decides (I3).
  bool Valid() const;
  // Asked to end after the batch in flight (pause, cancel, drain).
  bool Draining() const;
  WorkLimits limits() const;
  // Rows that may still be done before the run pauses itself; INT64_MAX without a limit.
  int64_t RowsAllowed() const;
  // Called with the server that a new session of the lease has met. ABORTED when it is another than
  // the lease is for: one that was promoted since, or one that was left behind; the lease goes
  // back.
  absl::Status TieTo(const TargetIdentity& met);
  // The server that the lease is for or, once a session has met another, that one: what every
  // report of the lease says, so that the coordinator hears of a failover, or takes the report for
  // what it is, too late.
  TargetIdentity server() const;
  bool TakeSplitRequest();
  // Requested when the lease is lost or the process must end at once: cancels statements in flight.
  std::stop_token lost_token() const { return lost_.get_token(); }
  void Post(const Checkpoint& checkpoint, int64_t rows_left);
  // Why the worker waits; empty = it works.
  void SetWaiting(std::string reason);
  // Sleeps; true when the whole time passed, false when drained or lost meanwhile.
  bool Wait(absl::Duration duration);

  // --- the control loop's side -----------------------------------------------------------------
  struct Report {
    std::optional<Checkpoint> checkpoint;
    int64_t rows_left = 0;
    std::string waiting_reason;
  };
  // What the next heartbeat carries; RowsAllowed() counts from it once the answer's limits are
  // applied.
  Report TakeReport();
  void Renew(absl::Duration sent_at, absl::Duration duration, const WorkLimits& limits);
  void Drain();
  void Lose();
  void RequestSplit();

 private:
  const Lease lease_;
  Clock& clock_;
  std::stop_source lost_;
  mutable Mutex mutex_;
  CondVar changed_;
  absl::Duration valid_until_ ABSL_GUARDED_BY(mutex_);
  WorkLimits limits_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool split_requested_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Checkpoint> checkpoint_ ABSL_GUARDED_BY(mutex_);
  int64_t rows_left_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t rows_first_ ABSL_GUARDED_BY(mutex_) =
      -1;  // rows_done of the first checkpoint of this lease
  int64_t rows_reported_ ABSL_GUARDED_BY(mutex_) = -1;    // … of the one in the last heartbeat
  int64_t rows_limit_base_ ABSL_GUARDED_BY(mutex_) = -1;  // … that limits_.rows_left counts from
  std::string waiting_ ABSL_GUARDED_BY(mutex_);
  TargetIdentity server_ ABSL_GUARDED_BY(mutex_);
};

// Leases end this much earlier for the agent than for the store: rates of clocks differ a little,
// threads are late.
absl::Duration LeaseMargin(absl::Duration lease);

}  // namespace dunlin::agent
