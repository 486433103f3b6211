#include <memory>

#include "absl/strings/str_cat.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/relation.h"
#include "agent/ledger/statements.h"
#include "agent/task/task_runner.h"
#include "agent/work/problem.h"
#include "agent/work/step_sql.h"
#include "agent/work/tied_session.h"
#include "common/status_macros.h"
#include "common/status_util.h"

namespace dunlin::agent {
namespace {

constexpr absl::Duration kPreflightTimeout = absl::Seconds(5);

absl::Status CheckKey(const Relation& relation) {
  for (const KeyColumn& column : relation.key) {
    if (!column.not_null) {
      return absl::FailedPreconditionError(absl::StrCat(
          "key column ", column.name_sql, " of ", relation.name_sql,
          " may be NULL; rows with a NULL key are in no range. Choose a NOT NULL key"));
    }
    if (!column.sortable) {
      return absl::FailedPreconditionError(absl::StrCat("key column ", column.name_sql, " of ",
                                                        relation.name_sql, " has type ",
                                                        column.type_sql, ", which has no order"));
    }
  }
  return absl::OkStatus();
}

// Everything that a step needs: its tables, key, and that the server takes each statement.
absl::Status CheckStep(const TaskContext& context, pg::Connection& connection, int step_index,
                       const BoundParameters& parameters) {
  const StepDefinition& step = context.definition.steps[static_cast<size_t>(step_index)];
  const std::vector<std::string> declared = DeclaredParameters(context.definition);
  std::vector<pg::Statement> statements;
  std::string search_path = "public, pg_temp";
  if (step.is_once()) {
    DUNLIN_ASSIGN_OR_RETURN(const StepSql sql, StepSql::MakeOnce(step, declared, parameters));
    statements = sql.AllStatements();
  } else {
    DUNLIN_ASSIGN_OR_RETURN(const Relation relation,
                            DescribeTable(connection, step.table, step.key));
    DUNLIN_RETURN_IF_ERROR(CheckKey(relation));
    DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> leaves,
                            ListLeaves(connection, relation));
    DUNLIN_ASSIGN_OR_RETURN(const BeforeImages images,
                            DescribeImages(connection, context.run, step_index, step, relation));
    DUNLIN_ASSIGN_OR_RETURN(const StepSql sql,
                            StepSql::Make(step, relation, declared, parameters, images));
    statements = sql.AllStatements();
    search_path = SearchPathFor(relation.schema_sql);
  }
  DUNLIN_RETURN_IF_ERROR(connection.Set("search_path", search_path));
  for (const pg::Statement& statement : statements) {
    const absl::StatusOr<pg::Result> described = connection.Describe(
        {.name = "", .sql = statement.sql, .parameter_types = statement.parameter_types});
    if (!described.ok()) {
      return Annotate(described.status(),
                      absl::StrCat("the server does not take ", PlainStatementName(statement.name),
                                   step.is_once() ? "" : absl::StrCat(" on ", step.table)));
    }
  }
  return absl::OkStatus();
}

// The first requirement that does not hold; empty when all do.
absl::StatusOr<std::string> UnmetRequirement(const TaskContext& context,
                                             pg::Connection& connection) {
  for (const Requirement& requirement : context.definition.requirements) {
    const absl::StatusOr<pg::Result> answer = connection.Query(requirement.sql.sql);
    if (!answer.ok()) {
      return AtFilePosition(answer.status(), requirement.sql);
    }
    const bool one_value = answer->rows.size() == 1 && answer->columns.size() == 1;
    if (!one_value || answer->rows[0][0].value_or("f") != "t") return requirement.says;
  }
  return std::string();
}

absl::Status CheckBatchTime(const TaskContext& context, pg::Connection& connection) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result timeout, connection.Execute(sql::kDeadlockTimeout));
  const absl::Duration deadlock_timeout = absl::Milliseconds(timeout.Int(0, 0));
  if (context.definition.limits.batch_time * 2 <= deadlock_timeout) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "limits.batch_time is ", absl::FormatDuration(context.definition.limits.batch_time),
      ", more than half of the target's deadlock_timeout (", absl::FormatDuration(deadlock_timeout),
      "): the application could become a deadlock victim. Choose a shorter batch_time"));
}

}  // namespace

TaskResult RunPreflight(const TaskContext& context) {
  auto opened =
      TieSession(context.handle, context.sessions.OpenForTask(kPreflightTimeout, "public, pg_temp",
                                                              context.handle.lost_token()));
  if (!opened.ok())
    return ResultFromStatus(opened.status(),
                            absl::StrCat("connecting to target ", context.run.target));
  pg::Connection& connection = **opened;
  if (std::optional<TaskResult> ended = WithoutLedger(context, connection))
    return *std::move(ended);

  PreflightResult result;
  auto unmet = UnmetRequirement(context, connection);
  if (!unmet.ok()) return ResultFromStatus(unmet.status(), "checking `requires`");
  result.waiting_reason = *unmet;
  if (!result.waiting_reason.empty()) return result;

  if (const absl::Status checked = CheckBatchTime(context, connection); !checked.ok()) {
    return ResultFromStatus(checked, "checking limits");
  }
  auto parameters = ResolveParameters(connection, context.definition, context.run.parameters,
                                      context.run.started_at);
  if (!parameters.ok()) return ResultFromStatus(parameters.status(), "reading the parameters");
  for (size_t i = 0; i < context.definition.steps.size(); ++i) {
    const absl::Status checked = CheckStep(context, connection, static_cast<int>(i), *parameters);
    if (!checked.ok()) {
      return ResultFromStatus(checked, context.definition.steps.size() > 1
                                           ? absl::StrCat("checking step ", i + 1)
                                           : std::string("checking the migration"));
    }
  }
  auto foreign = connection.Execute(sql::kForeignTransactions);
  if (foreign.ok()) result.foreign_transactions = static_cast<int>(foreign->Int(0, 0));
  return result;
}

}  // namespace dunlin::agent
