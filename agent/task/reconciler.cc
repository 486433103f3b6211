#include <memory>

#include "absl/strings/str_cat.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/statements.h"
#include "agent/task/task_runner.h"
#include "agent/work/tied_session.h"
#include "common/status_macros.h"

namespace dunlin::agent {

TaskResult RunReconcile(const TaskContext& context) {
  const std::string doing = "reading the ledger";
  auto opened =
      TieSession(context.handle, context.sessions.OpenForTask(absl::Minutes(1), "public, pg_temp",
                                                              context.handle.lost_token()));
  if (!opened.ok())
    return ResultFromStatus(opened.status(),
                            absl::StrCat("connecting to target ", context.run.target));
  pg::Connection& connection = **opened;
  // A failover may have lost the whole schema.
  if (std::optional<TaskResult> ended = WithoutLedger(context, connection))
    return *std::move(ended);
  ReconcileResult result;
  auto run = connection.Execute(sql::kRunById, {context.run.id.value()});
  if (!run.ok()) return ResultFromStatus(run.status(), doing);
  result.run_known = !run->rows.empty();
  if (!result.run_known) return result;
  if (run->Text(0, 0) != context.run.digest) {
    return Problem{
        .kind = Problem::Kind::kDefinition,
        .message = "the ledger's record of this run has another digest; the run cannot go on"};
  }
  const std::string outcome = run->rows[0][1].value_or("");
  result.finished = outcome == "finished" || outcome == "baseline" ||
                    (context.run.kind == RunSpec::Kind::kUndo && outcome == "undone");
  std::vector<pg::Result> results;
  const absl::Status committed = RunTransaction(
      connection,
      {{.statement = sql::kBeginTask,
        .parameters = {context.run.id.value(), context.run.store_id,
                       absl::StrCat(context.task.task_epoch.value())}},
       {.statement = sql::kShardsOfRun, .parameters = {context.run.id.value(), "-1"}}},
      &results);
  if (!committed.ok()) return ResultFromStatus(committed, doing);
  auto shards = DecodeLedgerShards(results.back());
  if (!shards.ok()) return ResultFromStatus(shards.status(), doing);
  result.shards = *std::move(shards);
  auto quarantine = ReadQuarantine(connection, context.run.id);
  if (!quarantine.ok()) return ResultFromStatus(quarantine.status(), doing);
  result.quarantine = *std::move(quarantine);
  return result;
}

}  // namespace dunlin::agent
