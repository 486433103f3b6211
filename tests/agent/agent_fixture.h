#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "agent/lease.h"
#include "agent/ledger/ledger.h"
#include "agent/ledger/session.h"
#include "agent/task/target_task.h"
#include "agent/task/task_runner.h"
#include "agent/work/crash_memory.h"
#include "agent/work/lease_handle.h"
#include "agent/work/shard_worker.h"
#include "common/clock.h"
#include "common/migration/definition.h"
#include "tests/testlib/pg_server.h"

namespace dunlin::agent {

// The agent's work without a coordinator: the test grants leases as it likes, on a real server, in
// a database of its own with a table `items(id bigint, n int)`.
class AgentTest : public ::testing::Test {
 protected:
  explicit AgentTest(std::vector<std::string> server_settings = {});

  int64_t Int(const std::string& sql) { return server_.Int("app", sql); }
  std::string Text(const std::string& sql) { return server_.Text("app", sql); }
  void Exec(const std::string& sql) { server_.Exec("app", sql); }
  void MakeItems(int rows);
  int64_t RowsNot(int n) {
    return Int("SELECT count(*) FROM items WHERE n <> " + std::to_string(n));
  }

  // Takes a migration over `items`: batches `UPDATE items SET n = n + 1 WHERE :batch`.
  void UseCountUp(const std::string& more = "");
  void UseFile(const std::string& text);
  // Each with the next task epoch.
  TaskResult Task(TaskKind kind, int step = 0, int64_t shards_known = 0);
  TaskWork MakeTask(TaskKind kind);
  TaskResult RunTaskWork(const TaskWork& task);
  // Preflight and plan; the ledger's shards, in the order of their ids.
  std::vector<LedgerShard> PlanRun();
  std::vector<LedgerShard> Shards();
  // The shards of PlanRun() are many; a test of one wants one.
  LedgerShard PlanOneShard();

  std::shared_ptr<LeaseHandle> Grant(const LedgerShard& shard, int64_t epoch);
  ShardOutcome Work(LeaseHandle& handle) { return Work(handle, sizes_); }
  ShardOutcome Work(LeaseHandle& handle, SizeMemory& sizes);
  ShardOutcome Work(const LedgerShard& shard, int64_t epoch) { return Work(*Grant(shard, epoch)); }

  // One claimed shard with everything to run single batches of it.
  struct Claimed {
    std::unique_ptr<pg::Connection> connection;
    std::unique_ptr<StepSql> sql;
    std::unique_ptr<BatchRunner> runner;
    ShardState state;
    Problem problem;  // kNone: claimed
    BatchOutcome RunBatch(int64_t rows);
  };
  std::unique_ptr<pg::Connection> OpenFor(const LedgerShard& shard, int64_t epoch);
  absl::StatusOr<std::variant<ClaimedShard, Problem>> Claim(pg::Connection& connection,
                                                            const LedgerShard& shard, int64_t epoch,
                                                            bool may_terminate = true);
  Claimed ClaimAndPrepare(const LedgerShard& shard, int64_t epoch);
  void Prepare(const LedgerShard& shard, Claimed& claimed);
  // Without a claim: `state` is empty.
  Claimed PrepareOnly(const LedgerShard& shard);

  testing::PgServer server_;
  RunSpec run_;
  Definition definition_;
  std::unique_ptr<SessionFactory> sessions_;
  CrashMemory crashes_;
  SizeMemory sizes_;
  std::vector<SplitReport> splits_;
  std::vector<QuarantinedRow> set_aside_;
  QuarantineAnswer quarantine_answer_ = QuarantineAnswer::kGoOn;
  int64_t task_epoch_ = 0;
};

}  // namespace dunlin::agent
