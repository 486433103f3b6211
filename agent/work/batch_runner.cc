#include "agent/work/batch_runner.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

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

BatchRunner::BatchRunner(pg::Connection& connection, const StepSql& sql, Durability durability,
                         absl::Duration budget)
    : connection_(connection), sql_(sql), durability_(durability), budget_(budget) {}

std::vector<pg::Command> BatchRunner::OpeningCommands(const ShardState& state,
                                                      const std::vector<pg::Command>& statements,
                                                      bool relaxed) const {
  const std::string budget = absl::StrCat(absl::ToInt64Milliseconds(budget_));
  std::vector<pg::Command> commands;
  commands.push_back({.statement = kBegin});
  if (relaxed) commands.push_back({.statement = kRelaxed});
  const auto fence_at = static_cast<std::ptrdiff_t>(commands.size());
  commands.push_back(
      {.statement = sql::kFence,
       .parameters = {state.id.value(), absl::StrCat(state.epoch.value()),
                      absl::StrCat(state.checkpoint.seq), EncodeKey(state.upper), budget}});
  for (size_t i = 0; i < statements.size(); ++i) {
    // The fence itself bounds the first one.
    if (i > 0) commands.push_back({.statement = sql::kSpend, .parameters = {budget}});
    commands.push_back(statements[i]);
  }
  MutateOpening(commands, fence_at);
  return commands;
}

absl::Status BatchRunner::RollBack(const absl::Status& why) {
  if (connection_.broken()) return why;
  const absl::Status rolled_back = connection_.Query("ROLLBACK").status();
  // Nothing was committed either way; what matters is why.
  if (!rolled_back.ok() && !connection_.broken()) return rolled_back;
  return why;
}

BatchOutcome BatchRunner::Run(ShardState& state, const Boundary& boundary, int64_t next_rows) {
  const OptionalKey from = state.from();
  const OptionalKey to(boundary.upper);
  const std::vector<const BoundStatement*> bound = sql_.BatchStatements(from, boundary.upper);
  std::vector<pg::Command> statements;
  for (const BoundStatement* statement : bound)
    statements.push_back(sql_.Bind(*statement, from, to));
  const bool done = state.upper && boundary.upper == *state.upper;
  // A shard's last batch is reported as done: it commits synchronously (I4).
  const bool relaxed =
      durability_ == Durability::kRelaxed && (!done || DUNLIN_MUTANT("relaxed_done"));
  const std::vector<pg::Command> commands = OpeningCommands(state, statements, relaxed);

  BatchOutcome outcome;
  const absl::Duration began = SystemClock().Monotonic();
  connection_.TakeNoticeSqlStates();
  const std::vector<pg::Outcome> outcomes =
      connection_.RunPipeline(commands, {.timeout = ClientDeadline()});
  if (const absl::Status* failed = FirstFailure(outcomes, outcomes.size()); failed != nullptr) {
    outcome.status = RollBack(*failed);
    outcome.in_doubt = connection_.broken();
    return outcome;
  }
  int64_t changed = 0;
  const size_t first = commands.size() - (statements.empty() ? 0 : 2 * statements.size() - 1);
  for (size_t i = 0; i < statements.size(); ++i) {
    if (bound[i]->counts) changed += outcomes[first + 2 * i].result.rows_affected;
  }
  if (const absl::Status fault = DUNLIN_FAULT("agent.batch.before_commit"); !fault.ok()) {
    outcome.status = RollBack(fault);
    return outcome;
  }
  outcome = Commit(state, to, boundary.rows, changed, done, done ? 0 : next_rows);
  outcome.locks_held = SystemClock().Monotonic() - began;
  return outcome;
}

BatchOutcome BatchRunner::RunOnce(ShardState& state) {
  std::vector<pg::Command> statements;
  for (const BoundStatement& statement : sql_.once()) {
    statements.push_back(sql_.Bind(statement, std::nullopt, std::nullopt));
  }
  const std::vector<pg::Command> commands = OpeningCommands(state, statements, false);
  BatchOutcome outcome;
  connection_.TakeNoticeSqlStates();
  const std::vector<pg::Outcome> outcomes =
      connection_.RunPipeline(commands, {.timeout = ClientDeadline()});
  if (const absl::Status* failed = FirstFailure(outcomes, outcomes.size()); failed != nullptr) {
    outcome.status = RollBack(*failed);
    outcome.in_doubt = connection_.broken();
    return outcome;
  }
  int64_t changed = 0;
  const size_t first = commands.size() - (2 * statements.size() - 1);
  for (size_t i = 0; i < statements.size(); ++i) {
    if (sql_.once()[i].counts) changed += outcomes[first + 2 * i].result.rows_affected;
  }
  return Commit(state, std::nullopt, changed, changed, true, 0);
}

BatchOutcome BatchRunner::Commit(ShardState& state, const OptionalKey& cursor, int64_t rows,
                                 int64_t changed, bool done, int64_t next_rows) {
  std::vector<pg::Command> commands;
  commands.push_back(
      {.statement = sql::kAdvance,
       .parameters = {state.id.value(), absl::StrCat(state.epoch.value()), EncodeKey(cursor),
                      absl::StrCat(rows), absl::StrCat(changed), done ? "true" : "false",
                      absl::StrCat(absl::ToInt64Milliseconds(budget_))}});
  commands.push_back({.statement = kConstraints});
  commands.push_back({.statement = kCommit, .sync_after = true});
  size_t commit_at = commands.size() - 1;
  if (DUNLIN_MUTANT("cursor_outside_transaction")) {
    std::rotate(commands.begin(), commands.begin() + 1, commands.end());
    commit_at = 1;
  }
  const bool look_ahead = next_rows > 0 && cursor && state.upper;
  if (look_ahead) commands.push_back(sql_.BoundaryCommand(cursor, *state.upper, next_rows));

  BatchOutcome outcome;
  const std::vector<pg::Outcome> outcomes =
      connection_.RunPipeline(commands, {.timeout = ClientDeadline()});
  if (const absl::Status* failed = FirstFailure(outcomes, commit_at); failed != nullptr) {
    // Before COMMIT: nothing was committed, unless the connection broke and the answers were lost
    // with it.
    outcome.status = RollBack(*failed);
    outcome.in_doubt = connection_.broken();
    return outcome;
  }
  outcome.status = CheckCommitted(connection_, outcomes[commit_at]);
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
                                                       const pg::Result& found, int64_t rows) {
  bool rows_exact = true;
  DUNLIN_ASSIGN_OR_RETURN(Boundary boundary,
                          sql_.DecodeBoundary(found, *state.upper, rows, rows_exact));
  if (!rows_exact) {
    const pg::Command count = sql_.CountCommand(state.from(), boundary.upper);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result counted,
                            connection_.Execute(count.statement, count.parameters));
    boundary.rows = counted.Int(0, 0);
  }
  return boundary;
}

absl::StatusOr<Boundary> BatchRunner::FindBoundary(const ShardState& state, int64_t rows) {
  const pg::Command look_up = sql_.BoundaryCommand(state.from(), *state.upper, rows);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          connection_.Execute(look_up.statement, look_up.parameters));
  return CompleteBoundary(state, found, rows);
}

}  // namespace dunlin::agent
