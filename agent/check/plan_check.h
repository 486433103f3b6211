#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "agent/check/check.h"
#include "agent/check/table_check.h"
#include "agent/ledger/relation.h"
#include "agent/work/step_sql.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// Judges the plans of a step's statements, made with the bounds of a batch: what they read whole,
// and what they copy from rows that are not locked (trap 11). `use`: what they do, by their plans.
absl::Status CheckPlans(pg::Connection& connection, const StepDefinition& step,
                        const Relation& relation, const StepSql& sql, TableUse& use,
                        std::vector<Finding>& findings);

// Functions that answer otherwise each time, found by name (trap 12).
absl::Status CheckFunctions(pg::Connection& connection, const SqlText& text,
                            const std::string& name, std::vector<Finding>& findings);

}  // namespace dunlin::agent
