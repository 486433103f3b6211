#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/statements.h"
#include "agent/task/task_runner.h"
#include "agent/work/tied_session.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

TaskResult Mismatch(std::string message) {
  return Problem{.kind = Problem::Kind::kLedgerMismatch, .message = std::move(message)};
}

// What is wrong with the ledger's shards; empty = all done and the key space covered.
absl::StatusOr<std::string> WhatIsLeft(const TaskContext& context, pg::Connection& connection) {
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<LedgerShard> shards,
                          ListLedgerShards(connection, context.run.id, -1));
  int64_t undone = 0;
  for (const LedgerShard& shard : shards) undone += shard.done ? 0 : 1;
  if (undone > 0) return absl::StrCat(undone, " shards in the ledger are not done");
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result set_aside,
                          connection.Execute(sql::kCountQuarantined, {context.run.id.value()}));
  if (set_aside.Int(0, 0) > 0 && !DUNLIN_MUTANT("finish_with_quarantine"))
    return absl::StrCat(set_aside.Int(0, 0), " keys in the ledger are set aside and not accepted");
  if (static_cast<int64_t>(shards.size()) != context.task.shards_known) {
    return absl::StrCat("the ledger has ", shards.size(), " shards, the store ",
                        context.task.shards_known);
  }
  DUNLIN_ASSIGN_OR_RETURN(
      const int64_t violations,
      CountCoverageViolations(connection, context.run, context.definition, shards));
  if (violations > 0)
    return absl::StrCat("the shards do not cover the key space (", violations, " places)");
  return std::string();
}

// Rows that an undo has left as they are, because they were changed since.
absl::Status TellWhatIsLeft(const TaskContext& context, pg::Connection& connection,
                            FinalizeResult& result) {
  constexpr int kSome = 100;
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result left,
      connection.Execute(sql::kLeftByUndo, {context.run.follows.value(), absl::StrCat(kSome)}));
  for (size_t row = 0; row < left.rows.size(); ++row) {
    result.rows_left = left.Int(row, 0);
    DUNLIN_ASSIGN_OR_RETURN(const OptionalKey key, DecodeKey(left.rows[row][2]));
    result.some_left.push_back(
        absl::StrCat(left.Text(row, 1), " (", absl::StrJoin(key->Reveal(), ", "), ")"));
  }
  // For a store that adopts the target, when they may be forgotten.
  return connection
      .Execute(sql::kNoteLeft, {context.run.id.value(), absl::StrCat(result.rows_left)})
      .status();
}

// Take back whatever the transaction did; the failure that led here matters more than this one's.
TaskResult Abandon(pg::Connection& connection, TaskResult why) {
  if (!connection.broken() && connection.in_transaction()) {
    const absl::Status rolled_back = connection.Query("ROLLBACK").status();
    if (!rolled_back.ok())
      LOG(WARNING) << Event("rollback_failed").Kv("error", rolled_back.message());
  }
  return why;
}

}  // namespace

TaskResult RunFinalize(const TaskContext& context) {
  const std::string doing = "finalizing the run";
  auto opened =
      TieSession(context.handle, context.sessions.OpenForTask(absl::Minutes(5), "public, pg_temp",
                                                              context.handle.lost_token()));
  if (!opened.ok())
    return ResultFromStatus(opened.status(),
                            absl::StrCat("connecting to target ", context.run.target));
  pg::Connection& connection = **opened;
  // begin_task keeps other tasks out, the shard locks every batch.
  auto begun = connection.Query("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  if (!begun.ok()) return ResultFromStatus(begun.status(), doing);
  auto fenced =
      connection.Execute(sql::kBeginTask, {context.run.id.value(), context.run.store_id,
                                           absl::StrCat(context.task.task_epoch.value())});
  if (!fenced.ok()) return Abandon(connection, ResultFromStatus(fenced.status(), doing));
  auto locked = connection.Execute(sql::kLockShardsOfRun, {context.run.id.value()});
  if (!locked.ok()) return Abandon(connection, ResultFromStatus(locked.status(), doing));
  auto left = WhatIsLeft(context, connection);
  if (!left.ok()) return Abandon(connection, ResultFromStatus(left.status(), doing));
  if (!left->empty()) return Abandon(connection, Mismatch(*left));
  if (context.task.finish) {
    auto finished = connection.Execute(sql::kFinishRun, {context.run.id.value()});
    if (!finished.ok()) return Abandon(connection, ResultFromStatus(finished.status(), doing));
    if (finished->rows_affected != 1)
      return Abandon(connection, Mismatch("the ledger says that this run was ended otherwise"));
  }
  if (const absl::Status fault = DUNLIN_FAULT("agent.finalize.before_commit"); !fault.ok()) {
    return Abandon(connection, std::monostate{});
  }
  auto committed = connection.Query("COMMIT");
  pg::Outcome outcome{.status = committed.status()};
  if (committed.ok()) outcome.result = *committed;
  if (!CheckCommitted(outcome).ok())
    return std::monostate{};  // in doubt: the next task epoch settles it
  if (const absl::Status fault = DUNLIN_FAULT("agent.finalize.after_commit"); !fault.ok())
    return std::monostate{};
  FinalizeResult result{.finished = context.task.finish};
  if (context.run.kind == RunSpec::Kind::kUndo && context.task.finish) {
    const absl::Status told = TellWhatIsLeft(context, connection, result);
    if (!told.ok()) return ResultFromStatus(told, "counting what was not put back");
  }
  return result;
}

}  // namespace dunlin::agent
