#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "agent/lease.h"
#include "agent/ledger/session.h"
#include "agent/work/lease_handle.h"
#include "common/clock.h"
#include "common/migration/definition.h"

namespace dunlin::agent {

// What every task works with. References outlive the task.
struct TaskContext {
  LeaseHandle& handle;
  const RunSpec& run;
  const TaskWork& task;
  const Definition& definition;
  const SessionFactory& sessions;
  Clock& clock;
  // Of a plan, at least; 0 = as many as the rows are worth.
  int shards = 0;
};

// Runs one leased task; see the functions below. monostate: the lease is lost, or the outcome is in
// doubt, and a fresh grant with a higher task epoch settles it. Blocking: within each task's own
// timeouts; ends when the lease is lost.
TaskResult RunTask(const TaskContext& context);

// Looks only, changes nothing but installing the ledger: is everything there that the run needs, do
// all statements prepare, does every `requires` hold?
TaskResult RunPreflight(const TaskContext& context);
// Registers the run, waits for the barrier (first step only), inserts all shards of one step in one
// transaction, or reports those that an earlier try inserted.
TaskResult RunPlan(const TaskContext& context);
// Sums the `verify` statement over one shard's range, or runs it once as a whole.
TaskResult RunVerify(const TaskContext& context);
// Checks in one transaction that nothing is left and that the shards cover the key space (I2), and
// writes the finish row.
TaskResult RunFinalize(const TaskContext& context);
// Reports the ledger as it is.
TaskResult RunReconcile(const TaskContext& context);
// Notes which rows that were set aside are accepted; tries the others again if asked, each in a
// transaction that is fenced by the task epoch and notes it done.
TaskResult RunQuarantine(const TaskContext& context);
// Writes the run into the ledger as done elsewhere.
TaskResult RunBaseline(const TaskContext& context);

// Waits until every transaction that is open now has ended. nullopt = passed.
std::optional<TaskResult> WaitForBarrier(const TaskContext& context, pg::Connection& connection);

// Shared helpers
// -----------------------------------------------------------------------------------
std::vector<std::string> DeclaredParameters(const Definition& definition);
// A failed call as a result: monostate when a newer epoch has fenced it off.
TaskResult ResultFromStatus(const absl::Status& status, const std::string& doing);
// Installs the ledger where it is missing. nullopt = it is there, for this store.
std::optional<TaskResult> WithoutLedger(const TaskContext& context, pg::Connection& connection);
// The number of I2 violations over the shards of a step, checked by the key's own types; 0 = they
// cover it.
absl::StatusOr<int64_t> CountCoverageViolations(pg::Connection& connection, const RunSpec& run,
                                                const Definition& definition,
                                                const std::vector<LedgerShard>& shards);

}  // namespace dunlin::agent
