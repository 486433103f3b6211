#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/relation.h"
#include "agent/task/task_runner.h"
#include "agent/work/step_sql.h"
#include "agent/work/tied_session.h"
#include "common/status_macros.h"
#include "common/text/duration.h"

namespace dunlin::agent {
namespace {

// One statement of a verify reads at most so many rows, so that its snapshot is short (trap 23).
constexpr int64_t kRowsPerStatement = 50'000;

absl::StatusOr<int64_t> ReadSum(const pg::Result& result) {
  int64_t sum = 0;
  if (result.rows.size() != 1 || result.columns.size() != 1) {
    return absl::FailedPreconditionError("`verify` must answer one row with one number");
  }
  if (result.rows[0][0] && !absl::SimpleAtoi(*result.rows[0][0], &sum)) {
    return absl::FailedPreconditionError("`verify` must answer a whole number");
  }
  return sum;  // NULL, as of sum() over nothing, is zero
}

absl::StatusOr<int64_t> SumOverRange(const TaskContext& context, pg::Connection& connection,
                                     const StepSql& sql, const ShardWork& shard,
                                     const pg::CallOptions& options) {
  int64_t sum = 0;
  OptionalKey from = shard.lower;
  while (true) {
    if (!context.handle.Valid() || context.handle.Draining())
      return absl::CancelledError("the lease has ended");
    const pg::Command look_up = sql.BoundaryCommand(from, *shard.upper, kRowsPerStatement);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                            connection.Execute(look_up.statement, look_up.parameters, options));
    bool exact = false;
    DUNLIN_ASSIGN_OR_RETURN(const Boundary boundary,
                            sql.DecodeBoundary(found, *shard.upper, kRowsPerStatement, exact));
    const OptionalKey to(boundary.upper);
    const pg::Command verify = sql.Bind(sql.verify_range()->For(from, boundary.upper), from, to);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                            connection.Execute(verify.statement, verify.parameters, options));
    DUNLIN_ASSIGN_OR_RETURN(const int64_t part, ReadSum(result));
    sum += part;
    if (boundary.upper == *shard.upper) return sum;
    from = to;
  }
}

absl::StatusOr<int64_t> Verify(const TaskContext& context, pg::Connection& connection,
                               const StepDefinition& step) {
  const pg::CallOptions options{
      .timeout = context.definition.limits.verify_timeout + absl::Seconds(5),
      .stop = context.handle.lost_token()};
  DUNLIN_ASSIGN_OR_RETURN(const BoundParameters parameters,
                          ResolveParameters(connection, context.definition, context.run.parameters,
                                            context.run.started_at));
  const std::vector<std::string> declared = DeclaredParameters(context.definition);
  const std::string table = context.task.shard ? context.task.shard->relation : step.table;
  DUNLIN_ASSIGN_OR_RETURN(const Relation relation, DescribeTable(connection, table, step.key));
  DUNLIN_RETURN_IF_ERROR(connection.Set("search_path", SearchPathFor(relation.schema_sql)));
  DUNLIN_ASSIGN_OR_RETURN(const StepSql sql, StepSql::Make(step, relation, declared, parameters));
  if (context.task.shard && sql.verify_range() != nullptr) {
    return SumOverRange(context, connection, sql, *context.task.shard, options);
  }
  if (!sql.verify_whole())
    return absl::FailedPreconditionError("this step has nothing to verify as a whole");
  const BoundStatement whole = *sql.verify_whole();
  const pg::Command verify = sql.Bind(whole, std::nullopt, std::nullopt);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                          connection.Execute(verify.statement, verify.parameters, options));
  return ReadSum(result);
}

}  // namespace

TaskResult RunVerify(const TaskContext& context) {
  const StepDefinition& step = context.definition.steps[static_cast<size_t>(context.task.step)];
  auto opened = TieSession(
      context.handle, context.sessions.OpenForTask(context.definition.limits.verify_timeout,
                                                   "public, pg_temp", context.handle.lost_token()));
  if (!opened.ok())
    return ResultFromStatus(opened.status(),
                            absl::StrCat("connecting to target ", context.run.target));
  const absl::StatusOr<int64_t> found = Verify(context, **opened, step);
  if (absl::IsCancelled(found.status())) return std::monostate{};
  if (!found.ok()) return ResultFromStatus(found.status(), absl::StrCat("verifying ", step.table));
  return VerifyResult{.found = *found};
}

}  // namespace dunlin::agent
