#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "agent/check/check.h"
#include "agent/ledger/relation.h"
#include "agent/work/step_sql.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// What a trial is of. References outlive it.
struct TrialSubject {
  const Definition& definition;
  const StepDefinition& step;
  const Relation* relation = nullptr;  // nullptr for `once`
  const StepSql& sql;
  const std::vector<std::string>& declared;
  const BoundParameters& parameters;
};

// Runs a batch of the step, a second time behind it, and one of full size to time it, each in a
// transaction that is rolled back; says what that tells. `connection` as a shard's session.
absl::StatusOr<StepTrial> TryStep(pg::Connection& connection, const TrialSubject& subject,
                                  std::vector<Finding>& findings);

}  // namespace dunlin::agent
