#include "agent/task/target_task.h"

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/statements.h"
#include "agent/task/schema_locks.h"
#include "agent/work/problem.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// Whoever asked waits ten seconds.
constexpr absl::Duration kTimeout = absl::Seconds(5);
constexpr size_t kMaxConfirmedRuns = 10'000;
// Of before-images, in one statement: some 50,000 of them.
constexpr int64_t kPagesPerPart = 1000;

absl::StatusOr<TargetTaskResult> Run(const ConfirmRuns&, pg::Connection& connection) {
  ConfirmedRuns confirmed;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result ledger, connection.Execute(sql::kLedgerVersion));
  if (!ledger.Bool(0, 0)) return TargetTaskResult(confirmed);  // no ledger: no run of it
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result runs,
      connection.Execute(sql::kRunOutcomes, {absl::StrCat(kMaxConfirmedRuns + 1)}));
  for (size_t row = 0; row < runs.rows.size(); ++row) {
    ConfirmedRun run{.id = RunId(runs.Text(row, 0)), .outcome = runs.Text(row, 1)};
    if (!absl::SimpleAtod(runs.Text(row, 2), &run.finish_age_seconds)) run.finish_age_seconds = 0;
    confirmed.runs.push_back(std::move(run));
  }
  confirmed.truncated = confirmed.runs.size() > kMaxConfirmedRuns;
  return TargetTaskResult(std::move(confirmed));
}

absl::StatusOr<TargetTaskResult> Run(const ForgetRun& forget, pg::Connection& connection) {
  const std::string run = forget.run.value();
  ForgottenRun forgotten;
  std::vector<pg::Result> results;
  DUNLIN_RETURN_IF_ERROR(
      RunTransaction(connection, {{.statement = sql::kForget, .parameters = {run}}}, &results));
  forgotten.shards = results[0].Int(0, 0);
  // No undo can begin now that would need them.
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result size, connection.Execute(sql::kImagePages));
  for (int64_t page = 0; page < size.Int(0, 0); page += kPagesPerPart) {
    DUNLIN_ASSIGN_OR_RETURN(
        const pg::Result part,
        connection.Execute(sql::kForgetImages,
                           {run, absl::StrCat(page), absl::StrCat(page + kPagesPerPart)}));
    forgotten.images += part.rows_affected;
  }
  return TargetTaskResult(forgotten);
}

absl::StatusOr<TargetTaskResult> Run(const LookForSchemaLocks& request,
                                     pg::Connection& connection) {
  DUNLIN_ASSIGN_OR_RETURN(SchemaLocks locks, FindSchemaLocks(connection, request.tables));
  return TargetTaskResult(std::move(locks));
}

}  // namespace

TargetTaskAnswer RunTargetTask(const TargetTask& task, const SessionFactory& sessions,
                               std::stop_token stop) {
  const std::string asking = absl::StrCat("asking target ", task.target);
  const auto opened = sessions.OpenForTask(kTimeout, "public, pg_temp", stop);
  if (!opened.ok())
    return {.result = ProblemFromStatus(opened.status(),
                                        absl::StrCat("connecting to target ", task.target))};
  auto from = ReadIdentity(**opened, task.target);
  if (!from.ok()) return {.result = ProblemFromStatus(from.status(), asking)};
  absl::StatusOr<TargetTaskResult> result =
      std::visit([&](const auto& request) { return Run(request, **opened); }, task.request);
  if (!result.ok()) return {.from = *from, .result = ProblemFromStatus(result.status(), asking)};
  return {.from = *std::move(from), .result = *std::move(result)};
}

}  // namespace dunlin::agent
