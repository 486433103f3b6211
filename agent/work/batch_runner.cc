#include "agent/work/batch_runner.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "agent/ledger/session.h"
#include "agent/ledger/statements.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

const pg::Statement kBegin{"d_begin", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"};
const pg::Statement kCommit{"d_commit", "COMMIT"};
const pg::Statement kRelaxed{"d_relaxed", "SET LOCAL synchronous_commit = off"};
const pg::Statement kConstraints{"d_constraints", "SET CONSTRAINTS ALL IMMEDIATE"};

// The server's own timeouts end a batch long before; this ends the wait for a server that does not
// answer (trap 17).
constexpr absl::Duration kClientDeadline = absl::Seconds(10);

absl::Duration ClientDeadline() { return DUNLIN_TUNABLE("agent.batch.deadline", kClientDeadline); }

const absl::Status* FirstFailure(const std::vector<pg::Outcome>& outcomes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!outcomes[i].status.ok()) return &outcomes[i].status;
  }
  return nullptr;
}

void MutateOpening(std::vector<pg::Command>& commands, std::ptrdiff_t fence_at) {
  const auto fence = commands.begin() + fence_at;
  if (DUNLIN_MUTANT("fence_after_data")) std::rotate(fence, fence + 1, commands.end());
  if (DUNLIN_MUTANT("savepoint_around_fence")) {
    const auto after = commands.insert(fence + 1, {.statement = {"", "ROLLBACK TO SAVEPOINT m"}});
    commands.insert(after - 1, {.statement = {"", "SAVEPOINT m"}});
  }
}

}  // namespace

absl::StatusOr<absl::Duration> ReadBatchBudget(pg::Connection& connection) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result timeout, connection.Execute(sql::kDeadlockTimeout));
  return absl::Milliseconds(timeout.Int(0, 0)) * kBudgetOfDeadlockTimeout;
}

BatchRunner::BatchRunner(pg::Connection& connection, const StepSql& sql, Durability durability,
                         absl::Duration budget)
    : connection_(connection), sql_(sql), durability_(durability), budget_(budget) {}

std::string BatchRunner::Budget() const { return absl::StrCat(absl::ToInt64Milliseconds(budget_)); }

pg::Command BatchRunner::Fence(const ShardState& state) const {
  return {.statement = sql::kFence,
          .parameters = {state.id.value(), absl::StrCat(state.epoch.value()),
                         absl::StrCat(state.checkpoint.seq), EncodeKey(state.upper), Budget()}};
}

pg::Command BatchRunner::Advance(const ShardState& state, const OptionalKey& cursor, int64_t rows,
                                 int64_t changed, bool done) const {
  return {
      .statement = sql::kAdvance,
      .parameters = {state.id.value(), absl::StrCat(state.epoch.value()), EncodeKey(cursor),
                     absl::StrCat(rows), absl::StrCat(changed), done ? "true" : "false", Budget()}};
}

BatchOutcome BatchRunner::Failed(const absl::Status& status) const {
  return BatchOutcome{.status = status, .in_doubt = connection_.broken()};
}

absl::StatusOr<int64_t> BatchRunner::Open(const pg::Command& fence,
                                          const std::vector<const BoundStatement*>& statements,
                                          const OptionalKey& from, const OptionalKey& to,
                                          bool relaxed) {
  std::vector<pg::Command> commands;
  commands.push_back({.statement = kBegin});
  if (relaxed) commands.push_back({.statement = kRelaxed});
  const auto fence_at = static_cast<std::ptrdiff_t>(commands.size());
  commands.push_back(fence);
  std::vector<size_t> counted;  // which commands count into rows_changed
  for (size_t i = 0; i < statements.size(); ++i) {
    // The fence itself bounds the first one.
    if (i > 0) commands.push_back({.statement = sql::kSpend, .parameters = {Budget()}});
    if (statements[i]->counts) counted.push_back(commands.size());
    commands.push_back(sql_.Bind(*statements[i], from, to));
  }
  // What is deferred is a part of what the rows cost, and must fail before COMMIT.
  commands.push_back({.statement = sql::kSpend, .parameters = {Budget()}});
  commands.push_back({.statement = kConstraints});
  MutateOpening(commands, fence_at);
  connection_.TakeNoticeSqlStates();  // what comes from here on may say why the server went
  const std::vector<pg::Outcome> outcomes =
      connection_.RunPipeline(commands, {.timeout = ClientDeadline()});
  if (const absl::Status* failed = FirstFailure(outcomes, outcomes.size()); failed != nullptr)
    return RollBack(*failed);
  int64_t changed = 0;
  for (const size_t at : counted) changed += outcomes[at].result.rows_affected;
  return changed;
}

absl::Status BatchRunner::RollBack(const absl::Status& why) {
  if (connection_.broken()) return why;
  const absl::Status rolled_back = connection_.Query("ROLLBACK").status();
  // Nothing was committed either way; what matters is why.
  if (!rolled_back.ok() && !connection_.broken()) return rolled_back;
  return why;
}

BatchOutcome BatchRunner::Run(ShardState& state, const Boundary& boundary, int64_t next_rows) {
  const OptionalKey to(boundary.upper);
  const bool done = state.upper && boundary.upper == *state.upper;
  // A shard's last batch is reported as done: it commits synchronously (I4).
  const bool relaxed =
      durability_ == Durability::kRelaxed && (!done || DUNLIN_MUTANT("relaxed_done"));
  const absl::Duration began = SystemClock().Monotonic();
  const absl::StatusOr<int64_t> changed = Open(
      Fence(state), sql_.BatchStatements(state.from(), boundary.upper), state.from(), to, relaxed);
  if (!changed.ok()) return Failed(changed.status());
  const absl::Duration took = SystemClock().Monotonic() - began;
  if (const absl::Status fault = DUNLIN_FAULT("agent.batch.before_commit"); !fault.ok())
    return Failed(RollBack(fault));
  BatchOutcome outcome = Commit(state, to, boundary.rows, *changed, done, done ? 0 : next_rows);
  outcome.statements_took = took;
  return outcome;
}

BatchOutcome BatchRunner::RunOnce(ShardState& state) {
  std::vector<const BoundStatement*> statements;
  for (const BoundStatement& statement : sql_.once()) statements.push_back(&statement);
  const absl::StatusOr<int64_t> changed =
      Open(Fence(state), statements, std::nullopt, std::nullopt, false);
  if (!changed.ok()) return Failed(changed.status());
  return Commit(state, std::nullopt, *changed, *changed, true, 0);
}

BatchOutcome BatchRunner::SetAside(ShardState& state, QuarantinedRow& row) {
  const bool done = state.upper && row.key == *state.upper;
  std::vector<pg::Command> commands = {
      Fence(state),
      {.statement = sql::kSetAside,
       .parameters = {state.id.value(), row.id, pg::EncodeTextArray(row.key_columns),
                      EncodeKey(state.from()), EncodeKey(row.key), absl::StrCat(row.rows),
                      row.sqlstate, row.constraint, row.table}},
      Advance(state, row.key, row.rows, 0, done)};
  if (DUNLIN_MUTANT("set_aside_unkept")) commands[1] = {.statement = {"", "SELECT 0"}};
  if (const absl::Status fault = DUNLIN_FAULT("agent.quarantine.before_commit"); !fault.ok())
    return {.status = fault, .in_doubt = true};
  std::vector<pg::Result> results;
  BatchOutcome outcome{
      .status = RunTransaction(connection_, commands, &results, {.timeout = ClientDeadline()})};
  if (!outcome.status.ok()) {
    // Not an error of the server's: COMMIT did not answer COMMIT, whatever it did.
    outcome.in_doubt = connection_.broken() || !pg::GetServerError(outcome.status);
    return outcome;
  }
  if (const absl::Status fault = DUNLIN_FAULT("agent.quarantine.after_commit"); !fault.ok())
    return {.status = fault, .in_doubt = true};
  row.failed_at = row.tried_at = DecodeTime(results[1].rows[0][0]);
  state.checkpoint.cursor = row.key;
  state.checkpoint.seq += 1;
  state.checkpoint.rows_done += row.rows;
  state.done = done;
  return outcome;
}

BatchOutcome BatchRunner::Retry(const QuarantinedRow& row, Epoch task_epoch) {
  const absl::StatusOr<int64_t> changed =
      Open({.statement = sql::kFenceRetry,
            .parameters = {row.id, absl::StrCat(task_epoch.value()), Budget()}},
           DUNLIN_MUTANT("retry_whole_range") ? sql_.BatchStatements(std::nullopt, row.key)
                                              : sql_.KeyStatements(),
           std::nullopt, row.key, false);
  if (!changed.ok()) return Failed(changed.status());
  if (const absl::Status fault = DUNLIN_FAULT("agent.retry.before_commit"); !fault.ok())
    return Failed(RollBack(fault));
  std::vector<pg::Command> commands = {
      {.statement = sql::kRetryDone, .parameters = {row.id, absl::StrCat(*changed)}},
      {.statement = kCommit}};
  if (DUNLIN_MUTANT("retry_not_noted")) commands.erase(commands.begin());
  const std::vector<pg::Outcome> outcomes =
      connection_.RunPipeline(commands, {.timeout = ClientDeadline()});
  if (const absl::Status* failed = FirstFailure(outcomes, commands.size() - 1); failed != nullptr)
    return Failed(RollBack(*failed));
  BatchOutcome outcome{.status = CheckCommitted(outcomes.back())};
  if (outcome.status.ok()) outcome.status = DUNLIN_FAULT("agent.retry.after_commit");
  outcome.in_doubt = !outcome.status.ok();
  return outcome;
}

BatchOutcome BatchRunner::Commit(ShardState& state, const OptionalKey& cursor, int64_t rows,
                                 int64_t changed, bool done, int64_t next_rows) {
  std::vector<pg::Command> commands;
  commands.push_back(Advance(state, cursor, rows, changed, done));
  commands.push_back({.statement = kCommit, .sync_after = true});
  size_t commit_at = commands.size() - 1;
  if (DUNLIN_MUTANT("cursor_outside_transaction")) {
    std::swap(commands[0], commands[1]);
    commit_at = 0;
  }
  const bool look_ahead = next_rows > 0 && cursor && state.upper;
  if (look_ahead) commands.push_back(sql_.BoundaryCommand(cursor, *state.upper, next_rows));

  BatchOutcome outcome;
  const std::vector<pg::Outcome> outcomes =
      connection_.RunPipeline(commands, {.timeout = ClientDeadline()});
  if (const absl::Status* failed = FirstFailure(outcomes, commit_at); failed != nullptr) {
    // Before COMMIT: nothing was committed, unless the connection broke and the answers were lost
    // with it.
    return Failed(RollBack(*failed));
  }
  outcome.status = CheckCommitted(outcomes[commit_at]);
  if (!outcome.status.ok()) {
    // Whatever COMMIT said other than COMMIT (57014, 57P01, a lost connection, "already committed
    // locally"), the transaction may be durable. Only a claim with a fresh epoch finds out.
    outcome.in_doubt = true;
    return outcome;
  }
  state.checkpoint.cursor = cursor;
  state.checkpoint.seq += 1;
  state.checkpoint.rows_done += rows;
  state.checkpoint.rows_changed += changed;
  state.done = done;
  if (const absl::Status fault = DUNLIN_FAULT("agent.batch.after_commit"); !fault.ok()) {
    outcome.status = fault;
    outcome.in_doubt = true;
    return outcome;
  }
  if (look_ahead && outcomes.back().status.ok()) {
    absl::StatusOr<Boundary> next = CompleteBoundary(state, outcomes.back().result, next_rows);
    if (next.ok()) outcome.next = *std::move(next);
  }
  return outcome;
}

absl::StatusOr<Boundary> BatchRunner::CompleteBoundary(const ShardState& state,
                                                       const pg::Result& found, int64_t rows,
                                                       bool every_row) {
  bool rows_exact = true;
  DUNLIN_ASSIGN_OR_RETURN(Boundary boundary,
                          sql_.DecodeBoundary(found, *state.upper, rows, rows_exact));
  if (!rows_exact || (every_row && sql_.has_where())) {
    const pg::Command count = sql_.CountCommand(state.from(), boundary.upper);
    const absl::StatusOr<pg::Result> counted =
        connection_.Execute(count.statement, count.parameters);
    // `where` may fail for a row that the bisector looks for.
    if (!counted.ok() && !(every_row && pg::GetServerError(counted.status())))
      return counted.status();
    boundary.rows = counted.ok() ? counted->Int(0, 0) : rows;
  }
  return boundary;
}

absl::StatusOr<Boundary> BatchRunner::FindBoundary(const ShardState& state, int64_t rows,
                                                   bool every_row) {
  const pg::Command look_up = sql_.BoundaryCommand(state.from(), *state.upper, rows, every_row);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          connection_.Execute(look_up.statement, look_up.parameters));
  return CompleteBoundary(state, found, rows, every_row);
}

absl::StatusOr<int64_t> BatchRunner::CountRows(const ShardState& state, const KeyText& upper) {
  const pg::Command count = sql_.CountCommand(state.from(), upper);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result counted,
                          connection_.Execute(count.statement, count.parameters));
  return counted.Int(0, 1);
}

}  // namespace dunlin::agent
