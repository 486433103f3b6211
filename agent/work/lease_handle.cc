#include "agent/work/lease_handle.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/fault.h"

namespace dunlin::agent {

absl::Duration LeaseMargin(absl::Duration lease) { return std::min(lease / 10, absl::Seconds(1)); }

LeaseHandle::LeaseHandle(Lease lease, absl::Duration sent_at, Clock& clock)
    : lease_(std::move(lease)),
      clock_(clock),
      valid_until_(sent_at + lease_.duration - LeaseMargin(lease_.duration)),
      limits_(lease_.limits),
      server_(lease_.target) {
  if (DUNLIN_MUTANT("lease_by_agent_clock")) valid_until_ = clock_.Monotonic() + lease_.duration;
}

bool LeaseHandle::Valid() const {
  MutexLock lock(mutex_);
  return !lost_.stop_requested() && clock_.Monotonic() < valid_until_;
}

bool LeaseHandle::Draining() const {
  MutexLock lock(mutex_);
  return draining_;
}

WorkLimits LeaseHandle::limits() const {
  MutexLock lock(mutex_);
  return limits_;
}

int64_t LeaseHandle::RowsAllowed() const {
  MutexLock lock(mutex_);
  if (limits_.rows_left <= 0) return std::numeric_limits<int64_t>::max();
  const int64_t now = checkpoint_ ? checkpoint_->rows_done : 0;
  const int64_t base = rows_limit_base_ >= 0 ? rows_limit_base_ : std::max<int64_t>(0, rows_first_);
  return std::max<int64_t>(0, limits_.rows_left - (now - base));
}

absl::Status LeaseHandle::TieTo(const TargetIdentity& met) {
  MutexLock lock(mutex_);
  // A lease of an older coordinator names none: then its sessions agree with the first.
  const TargetIdentity wanted = lease_.target.system_identifier.empty() ? server_ : lease_.target;
  server_ = met;
  if (wanted.system_identifier.empty() || DUNLIN_MUTANT("claim_inserts")) return absl::OkStatus();
  if (wanted.system_identifier != met.system_identifier) {
    return absl::AbortedError(absl::StrCat("target ", met.target, " is server ",
                                           met.system_identifier, " now, the lease is for server ",
                                           wanted.system_identifier));
  }
  if (wanted.timeline == met.timeline) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("target ", met.target, " is on timeline ", met.timeline,
                                         ", the lease is for timeline ", wanted.timeline));
}

TargetIdentity LeaseHandle::server() const {
  MutexLock lock(mutex_);
  return server_;
}

bool LeaseHandle::TakeSplitRequest() {
  MutexLock lock(mutex_);
  return std::exchange(split_requested_, false);
}

void LeaseHandle::Post(const Checkpoint& checkpoint, int64_t rows_left) {
  MutexLock lock(mutex_);
  checkpoint_ = checkpoint;
  rows_left_ = rows_left;
  if (rows_first_ < 0) rows_first_ = checkpoint.rows_done;
}

void LeaseHandle::SetWaiting(std::string reason) {
  MutexLock lock(mutex_);
  waiting_ = std::move(reason);
}

bool LeaseHandle::Wait(absl::Duration duration) {
  const absl::Duration until = clock_.Monotonic() + duration;
  MutexLock lock(mutex_);
  while (!draining_ && !lost_.stop_requested()) {
    const absl::Duration left = until - clock_.Monotonic();
    if (left <= absl::ZeroDuration()) return true;
    changed_.WaitFor(mutex_, left);
  }
  return false;
}

LeaseHandle::Report LeaseHandle::TakeReport() {
  MutexLock lock(mutex_);
  if (checkpoint_) rows_reported_ = checkpoint_->rows_done;
  return Report{.checkpoint = checkpoint_, .rows_left = rows_left_, .waiting_reason = waiting_};
}

void LeaseHandle::Renew(absl::Duration sent_at, absl::Duration duration, const WorkLimits& limits) {
  MutexLock lock(mutex_);
  valid_until_ = std::max(valid_until_, sent_at + duration - LeaseMargin(duration));
  limits_ = limits;
  rows_limit_base_ = rows_reported_;
}

void LeaseHandle::Drain() {
  MutexLock lock(mutex_);
  draining_ = true;
  changed_.NotifyAll();
}

void LeaseHandle::Lose() {
  lost_.request_stop();
  MutexLock lock(mutex_);
  changed_.NotifyAll();
}

void LeaseHandle::RequestSplit() {
  MutexLock lock(mutex_);
  split_requested_ = true;
}

}  // namespace dunlin::agent
