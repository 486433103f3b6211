#include "cli/local_process.h"

#include "absl/strings/str_cat.h"
#include "cli/context.h"

#include "common/clock.h"
#include "common/pg/session.h"
#include "common/status_macros.h"

namespace dunlin::cli {
namespace {

constexpr const char* kTryLock =
    "SELECT pg_try_advisory_lock(7305809122113404), current_database()";
constexpr const char* kHolder = R"sql(
SELECT string_agg('pid ' || a.pid || ' (' || coalesce(nullif(a.application_name, ''), 'unnamed') || ')', ', ')
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND ((l.classid::bigint << 32) | l.objid::bigint) = 7305809122113404
  AND a.datname = current_database())sql";

}  // namespace

absl::StatusOr<LocalLock> TakeLocalLock(const Secret& dsn, absl::Duration wait) {
  pg::SessionPins pins;
  pins.application_name = "dunlin/local";
  LocalLock lock;
  DUNLIN_ASSIGN_OR_RETURN(lock.connection,
                          pg::Connection::Connect(dsn, pg::MakeSessionOptions(pins)));
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + wait;
  while (true) {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result taken, lock.connection->Query(kTryLock));
    lock.database = taken.Text(0, 1);
    if (taken.Bool(0, 0)) return lock;
    if (clock.Monotonic() >= until || Interrupted()) break;
    clock.SleepFor(absl::Milliseconds(50), {});
  }
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result holder, lock.connection->Query(kHolder));
  return absl::PermissionDeniedError(
      absl::StrCat("another `dunlin local` works on database ", lock.database,
                   " already: ", holder.IsNull(0, 0) ? std::string("unknown") : holder.Text(0, 0),
                   ". See it with: dunlin watch --database …"));
}

LocalAgent::LocalAgent(LocalLock lock, std::unique_ptr<agent::Agent> agent)
    : lock_(std::move(lock)),
      agent_(std::move(agent)),
      worker_([this](std::stop_token stop) { agent_->Run(stop); }) {}

absl::StatusOr<std::unique_ptr<LocalAgent>> LocalAgent::Make(coordinator::Coordinator& coordinator,
                                                             const Secret& dsn) {
  DUNLIN_ASSIGN_OR_RETURN(LocalLock lock, TakeLocalLock(dsn, absl::ZeroDuration()));
  // Whoever held leases here is dead: its lock is gone.
  DUNLIN_RETURN_IF_ERROR(coordinator.RevokeAllLeases("another dunlin command took over"));
  DUNLIN_ASSIGN_OR_RETURN(std::unique_ptr<agent::Agent> agent,
                          agent::Agent::Make({.coordinators = {coordinator.InProcessChannel()},
                                              .targets = {{lock.database, {.dsn = dsn}}},
                                              .any_migration = true,
                                              .name = "local"}));
  return std::unique_ptr<LocalAgent>(new LocalAgent(std::move(lock), std::move(agent)));
}

}  // namespace dunlin::cli
