#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "agent/ledger/ledger.h"
#include "agent/work/step_sql.h"
#include "common/ids.h"
#include "common/migration/definition.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// What a batch works from: the claim's answer, moved on by each commit.
struct ShardState {
  ShardId id;
  Epoch epoch;
  OptionalKey lower;
  OptionalKey upper;  // absent for `once`
  Checkpoint checkpoint;
  bool done = false;
  // Where the next batch begins.
  const OptionalKey& from() const { return checkpoint.cursor ? checkpoint.cursor : lower; }
};

// How a batch ended.
struct BatchOutcome {
  // OK: committed, durably as asked. IsConnectionLost or kInDoubt: unknown, a fresh grant and claim
  // must settle it.
  absl::Status status;
  bool in_doubt = false;
  // What the rows cost: without the commit, which waits for the disk or a standby however many
  // there are.
  absl::Duration statements_took = absl::ZeroDuration();
  // The end of the batch after it, asked for with the commit; absent when the look-up failed or the
  // shard is done.
  std::optional<Boundary> next;
};

// What one transaction with row locks may take, all statements together (I12).
absl::StatusOr<absl::Duration> ReadBatchBudget(pg::Connection& connection);

// Runs batches of one claimed shard: fence, statements, checkpoint, COMMIT, in two round trips
// (design of I1, I3, I12):
//   1. BEGIN; fence (takes the ledger row's lock before any data row); statements, each within what
//   is left of the budget; SET CONSTRAINTS ALL IMMEDIATE
//   2. advance (cursor, seq, counters); COMMIT; look-up of the next boundary.
// Thread safety: one thread. Blocking: within the deadline of each call. After an outcome that is
// in doubt the object must not be used again.
class BatchRunner {
 public:
  // All references outlive the runner. `budget`: of one transaction, all statements together.
  BatchRunner(pg::Connection& connection, const StepSql& sql, Durability durability,
              absl::Duration budget);

  // One batch over (state.from(), boundary.upper]; moves `state` on when it committed. `next_rows`
  // > 0: also look up the end of the batch behind it.
  BatchOutcome Run(ShardState& state, const Boundary& boundary, int64_t next_rows);
  // The single batch of a `once` step: sets done.
  BatchOutcome RunOnce(ShardState& state);

  // A batch that changes nothing: moves the cursor past `row`, the one key between it and
  // `row.key`, and keeps it in dunlin.quarantine, in one transaction that is durable at once.
  BatchOutcome SetAside(ShardState& state, QuarantinedRow& row);
  // The statements over the rows of a key that was set aside, and that it is done, in one
  // transaction. DN003 and DN006: not for this task (any more).
  BatchOutcome Retry(const QuarantinedRow& row, Epoch task_epoch);

  // Finds the end of the next batch; one or two round trips. `every_row`: as
  // StepSql::BoundaryCommand.
  absl::StatusOr<Boundary> FindBoundary(const ShardState& state, int64_t rows,
                                        bool every_row = false);
  // Rows up to a key, whether they match `where` or not.
  absl::StatusOr<int64_t> CountRows(const ShardState& state, const KeyText& upper);

 private:
  pg::Command Fence(const ShardState& state) const;
  pg::Command Advance(const ShardState& state, const OptionalKey& cursor, int64_t rows,
                      int64_t changed, bool done) const;
  // BEGIN, `fence`, `statements` bound to the range: how many rows they changed. Rolled back unless
  // OK.
  absl::StatusOr<int64_t> Open(const pg::Command& fence,
                               const std::vector<const BoundStatement*>& statements,
                               const OptionalKey& from, const OptionalKey& to, bool relaxed);
  BatchOutcome Failed(const absl::Status& status) const;
  BatchOutcome Commit(ShardState& state, const OptionalKey& cursor, int64_t rows, int64_t changed,
                      bool done, int64_t next_rows);
  absl::Status RollBack(const absl::Status& why);
  absl::StatusOr<Boundary> CompleteBoundary(const ShardState& state, const pg::Result& found,
                                            int64_t rows, bool every_row = false);
  std::string Budget() const;

  pg::Connection& connection_;
  const StepSql& sql_;
  const Durability durability_;
  const absl::Duration budget_;
};

}  // namespace dunlin::agent
