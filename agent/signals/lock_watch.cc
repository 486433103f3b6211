#include "agent/signals/lock_watch.h"

#include <algorithm>

#include "agent/signals/statements.h"
#include "common/pg/types.h"
#include "common/status_macros.h"

namespace dunlin::agent {

absl::Status LockWatch::Look(pg::Connection& connection, absl::Duration now) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result seen, connection.Execute(sql::kLockSnapshot));
  const int64_t active = seen.Int(0, 0);
  if (active > 0) others_at_ = now;
  dunlin_works_ = seen.Int(0, 1) > 0;
  most_active_ = std::max(most_active_, active);
  most_waiting_ = std::max(most_waiting_, seen.Int(0, 2));
  connections_max_ = seen.Int(0, 5);
  deadlock_timeout_ = absl::Milliseconds(seen.Int(0, 6));
  std::set<std::string> blocked;
  if (!seen.IsNull(0, 3)) {
    std::vector<pg::Value> waits;
    DUNLIN_RETURN_IF_ERROR(pg::DecodeTextArray(seen.Text(0, 3), waits));
    for (pg::Value& wait : waits) blocked.insert(std::move(wait).value_or(""));
  }
  // Before 14 nobody says since when one waits: long is what is seen twice.
  int64_t for_long = static_cast<int64_t>(blocked.size());
  if (!seen.Bool(0, 4)) {
    for_long = std::count_if(blocked.begin(), blocked.end(),
                             [this](const std::string& wait) { return blocked_.contains(wait); });
  }
  blocked_ = std::move(blocked);
  most_blocked_ = std::max(most_blocked_, for_long);
  return absl::OkStatus();
}

void LockWatch::Report(std::vector<SignalSample>& samples) {
  samples.push_back(
      {.kind = SignalKind::kBlockedSessions, .value = static_cast<double>(most_blocked_)});
  samples.push_back({.kind = SignalKind::kLockWaits, .value = static_cast<double>(most_waiting_)});
  samples.push_back({.kind = SignalKind::kActiveSessions,
                     .value = static_cast<double>(most_active_),
                     .baseline = static_cast<double>(connections_max_)});
  most_blocked_ = most_waiting_ = most_active_ = 0;
}

}  // namespace dunlin::agent
