#include "agent/work/problem.h"

#include "absl/strings/str_cat.h"

#include "agent/work/error_action.h"
#include "common/pg/types.h"
#include "common/status_util.h"

namespace dunlin::agent {

Problem ProblemFromStatus(const absl::Status& status, absl::string_view doing) {
  Problem problem;
  problem.message = absl::StrCat(doing, ": ", status.message());
  if (const auto server = pg::GetServerError(status)) {
    problem.sqlstate = server->sqlstate;
    problem.table = server->table;
    problem.constraint = server->constraint;
  }
  if (problem.sqlstate == "42501") {
    problem.kind = Problem::Kind::kPermission;
    absl::StrAppend(&problem.message,
                    "; grant it to the agent's role (`dunlin ledger sql --role ROLE` prints what "
                    "the ledger needs), then resume");
    return problem;
  }
  switch (ClassifyError(status)) {
    case ErrorAction::kRetry:
    case ErrorAction::kRetrySmaller:
    case ErrorAction::kStopped:
      problem.kind = Problem::Kind::kTransient;
      break;
    case ErrorAction::kReconnect:
      problem.kind = Problem::Kind::kTransient;
      break;
    case ErrorAction::kBisect:
      problem.kind = Problem::Kind::kData;
      break;
    case ErrorAction::kFailRun:
      problem.kind = Problem::Kind::kDefinition;
      break;
    case ErrorAction::kLeaseLost:
      problem.kind = Problem::Kind::kNone;
      break;
  }
  // Our own sentences about the definition carry no SQLSTATE.
  if (problem.sqlstate.empty() && (status.code() == absl::StatusCode::kFailedPrecondition ||
                                   status.code() == absl::StatusCode::kInvalidArgument)) {
    problem.kind = Problem::Kind::kDefinition;
  }
  return problem;
}

}  // namespace dunlin::agent
