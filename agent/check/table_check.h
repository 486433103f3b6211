#pragma once

#include <vector>

#include "absl/status/status.h"

#include "agent/check/check.h"
#include "agent/ledger/relation.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// How a table is used by the statements of a step, by their verbs.
struct TableUse {
  bool updates = false;
  bool deletes = false;
};

// The key (trap 10), and what else acts on the rows of a batch: triggers, rules, foreign keys,
// row-level security, publications (trap 13); the order of rows in the heap (trap 14).
absl::Status CheckTable(pg::Connection& connection, const Relation& relation, const TableUse& use,
                        std::vector<Finding>& findings);

// What the role must be allowed beside the statements: the ledger, and to read signals.
absl::Status CheckGrants(pg::Connection& connection, std::vector<Finding>& findings);

}  // namespace dunlin::agent
