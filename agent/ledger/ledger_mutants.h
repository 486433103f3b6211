// What mutants (common/mutants.h) make of the ledger's SQL and of the claim. A release build has
// neither.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/pg/connection.h"

namespace dunlin::agent {

#ifdef DUNLIN_FAULTS
// The schema file as the mutant that is on has it; unchanged without one.
std::string MutateLedgerSql(std::string sql);
// The answer that the mutant takes for a claim's; nullopt: claim as usual. `parameters`: of the
// claim.
absl::StatusOr<std::optional<pg::Result>> ClaimAsMutant(pg::Connection& connection,
                                                        const std::vector<pg::Value>& parameters);
#else
inline std::string MutateLedgerSql(std::string sql) { return sql; }
inline absl::StatusOr<std::optional<pg::Result>> ClaimAsMutant(pg::Connection&,
                                                               const std::vector<pg::Value>&) {
  return std::optional<pg::Result>();
}
#endif

}  // namespace dunlin::agent
