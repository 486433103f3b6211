#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/signals/signal.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// Looks at locks several times a second: who waits for Dunlin's for more than 100 ms (the direct
// measure of harm), how many wait at all, whether anybody else is at work. Thread safety: one
// thread.
class LockWatch {
 public:
  absl::Status Look(pg::Connection& connection, absl::Duration now);
  // What was seen since the last call: the most of each.
  void Report(std::vector<SignalSample>& samples);
  // How long nobody but Dunlin has been in a transaction; infinite = never seen anybody.
  absl::Duration AloneFor(absl::Duration now) const { return now - others_at_; }
  // The server's, as of the last look.
  absl::Duration deadlock_timeout() const { return deadlock_timeout_; }
  // Whether a session of Dunlin's worked at the last look.
  bool dunlin_works() const { return dunlin_works_; }

 private:
  std::set<std::string> blocked_;  // at the last look
  absl::Duration others_at_ = -absl::InfiniteDuration();
  bool dunlin_works_ = false;
  absl::Duration deadlock_timeout_;
  int64_t most_blocked_ = 0, most_waiting_ = 0, most_active_ = 0, connections_max_ = 0;
};

}  // namespace dunlin::agent
