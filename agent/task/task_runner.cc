#include "agent/task/task_runner.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"

#include "agent/ledger/installer.h"
#include "agent/ledger/ledger.h"
#include "agent/ledger/relation.h"
#include "agent/task/sampling.h"
#include "agent/work/error_action.h"
#include "agent/work/problem.h"
#include "common/status_macros.h"

namespace dunlin::agent {

TaskResult RunTask(const TaskContext& context) {
  switch (context.task.kind) {
    case TaskKind::kPreflight:
      return RunPreflight(context);
    case TaskKind::kPlan:
      return RunPlan(context);
    case TaskKind::kVerify:
      return RunVerify(context);
    case TaskKind::kFinalize:
      return RunFinalize(context);
    case TaskKind::kReconcile:
      return RunReconcile(context);
    case TaskKind::kQuarantine:
      return RunQuarantine(context);
    case TaskKind::kBaseline:
      return RunBaseline(context);
  }
  return std::monostate{};
}

std::vector<std::string> DeclaredParameters(const Definition& definition) {
  std::vector<std::string> names;
  for (const ParameterDefinition& parameter : definition.parameters)
    names.push_back(parameter.name);
  return names;
}

TaskResult ResultFromStatus(const absl::Status& status, const std::string& doing) {
  if (ClassifyError(status) == ErrorAction::kLeaseLost) return std::monostate{};
  return ProblemFromStatus(status, doing);
}

std::optional<TaskResult> WithoutLedger(const TaskContext& context, pg::Connection& connection) {
  auto problem = EnsureLedger(connection, context.run);
  if (!problem.ok()) return ResultFromStatus(problem.status(), "looking for the ledger");
  if (problem->has_value()) return **std::move(problem);
  return std::nullopt;
}

absl::StatusOr<int64_t> CountCoverageViolations(pg::Connection& connection, const RunSpec& run,
                                                const Definition& definition,
                                                const std::vector<LedgerShard>& shards) {
  std::set<std::pair<int, std::string>> relations;
  std::map<int, int64_t> once_shards;
  int64_t violations = 0;
  for (const LedgerShard& shard : shards) {
    if (!shard.relation.empty()) {
      relations.insert({shard.step, shard.relation});
    } else if (++once_shards[shard.step] > 1) {
      ++violations;
    }
  }
  for (const auto& [step, name] : relations) {
    if (step < 0 || static_cast<size_t>(step) >= definition.steps.size()) {
      ++violations;
      continue;
    }
    DUNLIN_ASSIGN_OR_RETURN(
        const Relation relation,
        DescribeRelation(connection, name, definition.steps[static_cast<size_t>(step)].key));
    DUNLIN_ASSIGN_OR_RETURN(
        const pg::Result result,
        connection.Query(CoverageSql(relation), {run.id.value(), absl::StrCat(step), name}));
    violations += result.Int(0, 0);
  }
  return violations;
}

}  // namespace dunlin::agent
