#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/migration/definition.h"
#include "common/secret.h"

namespace dunlin::agent {

// Something that `check` has to say about a migration.
struct Finding {
  enum class Severity { kError, kWarning, kNote };
  Severity severity = Severity::kNote;
  std::string where;    // "line 7", "table public.x"
  std::string message;  // what is the matter
  std::string advice;   // what to change
};

// Looks at a migration on a real database, in read-only transactions: do its statements prepare,
// does each one's plan with the batch bound use the key, and the facts of traps 10 to 13 (key,
// triggers, rules, foreign tables, partitions). Changes nothing.
absl::StatusOr<std::vector<Finding>> CheckOnDatabase(const Secret& dsn,
                                                     const Definition& definition);

}  // namespace dunlin::agent
