#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "agent/lease.h"
#include "common/migration/definition.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// The version of schema dunlin that this agent knows.
inline constexpr int kLedgerVersion = 1;

// Idempotent SQL for the ledger: schema, tables, functions, views; with a role also the grants that
// an agent of that role needs. What `dunlin ledger sql` prints.
std::string LedgerSql(absl::string_view role);

// Makes sure that the ledger is there and may be used by this store: installs or
// upgrades it when the role may, else answers a Problem that names the command to run; another
// store's target is a Problem too (trap 20).
absl::StatusOr<std::optional<Problem>> EnsureLedger(pg::Connection& connection, const RunSpec& run);

// Inserts the run under the store's run id (again: nothing), and takes the target for the run's
// store. A former run of the same name makes way when it never committed a batch, or when this one
// follows it (redo); any other is a Problem. What the migration supersedes is fenced off and
// recorded as such.
absl::StatusOr<std::optional<Problem>> RegisterRun(pg::Connection& connection, const RunSpec& run,
                                                   const Definition& definition,
                                                   const TargetIdentity& identity);
// The same, and the outcome `baseline`, in one transaction. `note`: who says so, and why; not
// empty.
absl::StatusOr<std::optional<Problem>> RegisterBaseline(pg::Connection& connection,
                                                        const RunSpec& run,
                                                        const Definition& definition,
                                                        const TargetIdentity& identity,
                                                        const std::string& note);

}  // namespace dunlin::agent
