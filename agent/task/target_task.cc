#include "agent/task/target_task.h"

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/statements.h"
#include "agent/task/schema_locks.h"
#include "agent/work/problem.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// Whoever asked waits ten seconds.
constexpr absl::Duration kTimeout = absl::Seconds(5);
constexpr size_t kMaxConfirmedRuns = 10'000;
// Of before-images, in one statement: some 50,000 of them.
constexpr int64_t kPagesPerPart = 1000;
// Of definitions, in one answer.
constexpr size_t kMaxBytesOfRuns = 4 << 20;

absl::StatusOr<TargetTaskResult> Run(const ConfirmRuns&, const TargetTask&,
                                     pg::Connection& connection) {
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

absl::StatusOr<TargetTaskResult> Run(const ForgetRun& forget, const TargetTask& task,
                                     pg::Connection& connection) {
  const std::string run = forget.run.value();
  ForgottenRun forgotten;
  std::vector<pg::Result> results;
  DUNLIN_RETURN_IF_ERROR(RunTransaction(
      connection, {{.statement = sql::kForget, .parameters = {run, task.store_id}}}, &results));
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

absl::StatusOr<TargetTaskResult> Run(const LookForSchemaLocks& request, const TargetTask&,
                                     pg::Connection& connection) {
  DUNLIN_ASSIGN_OR_RETURN(SchemaLocks locks, FindSchemaLocks(connection, request.tables));
  return TargetTaskResult(std::move(locks));
}

absl::StatusOr<TargetTaskResult> Run(const AdoptTarget& adopt, const TargetTask& task,
                                     pg::Connection& connection) {
  AdoptedTarget adopted;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result ledger, connection.Execute(sql::kLedgerVersion));
  if (!ledger.Bool(0, 0)) return TargetTaskResult(adopted);  // nothing was ever done here
  const std::string limit = absl::StrCat(kMaxConfirmedRuns + 1);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result all, connection.Execute(sql::kRunList, {limit}));
  // A run that is not listed would be taken for one without a record.
  if (all.rows.size() > kMaxConfirmedRuns)
    return absl::FailedPreconditionError(
        "its ledger has more than 10,000 runs, which is more than can be taken over; nothing was "
        "changed, the target is still the former store's");
  std::vector<pg::Result> results;
  DUNLIN_RETURN_IF_ERROR(
      RunTransaction(connection,
                     {{.statement = sql::kAdopt,
                       .parameters = {task.store_id, task.store_name, adopt.by, adopt.reason}},
                      {.statement = sql::kRunList, .parameters = {limit}}},
                     &results));
  adopted.former_store_id = results[0].IsNull(0, 0) ? "" : results[0].Text(0, 0);
  adopted.former_store_name = results[0].Text(0, 1);
  for (size_t row = 0; row < results[1].rows.size(); ++row) {
    adopted.runs.push_back({.id = results[1].Text(row, 0),
                            .name = results[1].Text(row, 1),
                            .outcome = results[1].Text(row, 2)});
  }
  LOG(INFO) << Event("target_adopted")
                   .Kv("target", task.target)
                   .Kv("from", adopted.former_store_id)
                   .Kv("to", task.store_id);
  return TargetTaskResult(std::move(adopted));
}

absl::StatusOr<TargetTaskResult> Run(const ReadRuns& read, const TargetTask&,
                                     pg::Connection& connection) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          connection.Execute(sql::kReadRuns, {pg::EncodeTextArray(read.ids)}));
  LedgerRuns out;
  size_t bytes = 0;
  for (size_t row = 0; row < found.rows.size(); ++row) {
    LedgerRun run{.id = found.Text(row, 0),
                  .name = found.Text(row, 1),
                  .digest = found.Text(row, 2),
                  .definition = found.Text(row, 3),
                  .parameters_json = found.Text(row, 4),
                  .started_at = found.Text(row, 5),
                  .outcome = found.Text(row, 6),
                  .undoes = found.Text(row, 8),
                  .supersedes = found.Text(row, 9),
                  .note = found.Text(row, 10),
                  .task_epoch = found.Int(row, 11),
                  .rows_left = found.Int(row, 12),
                  .rows_total = found.Int(row, 14),
                  .rows_changed = found.Int(row, 15),
                  .forgotten = found.Bool(row, 13)};
    if (!absl::SimpleAtod(found.Text(row, 7), &run.finish_age_seconds)) run.finish_age_seconds = 0;
    bytes += run.definition.size() + run.parameters_json.size();
    if (!out.runs.empty() && bytes > kMaxBytesOfRuns) break;
    out.runs.push_back(std::move(run));
  }
  return TargetTaskResult(std::move(out));
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
      std::visit([&](const auto& request) { return Run(request, task, **opened); }, task.request);
  if (!result.ok()) return {.from = *from, .result = ProblemFromStatus(result.status(), asking)};
  return {.from = *std::move(from), .result = *std::move(result)};
}

}  // namespace dunlin::agent
