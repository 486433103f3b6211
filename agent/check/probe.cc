#include "agent/check/probe.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "agent/check/statements.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

constexpr absl::Duration kClientDeadline = absl::Seconds(10);

// The commands of a probe in order, and what each answer is for.
class Script {
 public:
  Script(const StepSql& sql, const OptionalKey& lower, const OptionalKey& upper,
         absl::Duration budget)
      : sql_(sql), lower_(lower), upper_(upper), budget_(budget) {}

  size_t Add(pg::Command command, std::string name = "") {
    commands_.push_back(std::move(command));
    names_.push_back(std::move(name));
    return commands_.size() - 1;
  }
  // Under what is left of the budget.
  size_t AddBounded(pg::Command command, std::string name = "") {
    Add({.statement = sql::kSpendOf,
         .parameters = {absl::StrCat(absl::ToInt64Milliseconds(budget_))}});
    return Add(std::move(command), std::move(name));
  }
  std::vector<size_t> AddStatements(const std::vector<const BoundStatement*>& statements) {
    std::vector<size_t> counted;
    for (const BoundStatement* statement : statements) {
      const size_t at = AddBounded(sql_.Bind(*statement, lower_, upper_),
                                   PlainStatementName(statement->statement.name));
      if (statement->counts) counted.push_back(at);
    }
    return counted;
  }

  const std::vector<pg::Command>& commands() const { return commands_; }
  const std::string& name(size_t at) const { return names_[at]; }

 private:
  const StepSql& sql_;
  const OptionalKey& lower_;
  const OptionalKey& upper_;
  const absl::Duration budget_;
  std::vector<pg::Command> commands_;
  std::vector<std::string> names_;
};

std::vector<RowImage> Images(const pg::Result& result) {
  std::vector<RowImage> images;
  for (size_t row = 0; row < result.rows.size(); ++row) {
    images.push_back(
        {.key = result.Text(row, 0), .json = result.Text(row, 1), .bytes = result.Int(row, 2)});
  }
  return images;
}

// Statistics of a session grow over its transactions: what came between two looks counts.
std::vector<TableEffect> Effects(const pg::Result& before, const pg::Result& after) {
  std::vector<TableEffect> effects;
  for (size_t row = 0; row < after.rows.size(); ++row) {
    TableEffect effect{.table = after.Text(row, 0),
                       .oid = static_cast<pg::Oid>(after.Int(row, 1)),
                       .inserted = after.Int(row, 2),
                       .updated = after.Int(row, 3),
                       .hot = after.Int(row, 4),
                       .deleted = after.Int(row, 5)};
    for (size_t old = 0; old < before.rows.size(); ++old) {
      if (before.Text(old, 1) != after.Text(row, 1)) continue;
      effect.inserted -= before.Int(old, 2);
      effect.updated -= before.Int(old, 3);
      effect.hot -= before.Int(old, 4);
      effect.deleted -= before.Int(old, 5);
    }
    if (effect.inserted + effect.updated + effect.deleted > 0) effects.push_back(effect);
  }
  return effects;
}

double Number(const pg::Result& result, size_t column) {
  double number = 0;
  return absl::SimpleAtod(result.Text(0, column), &number) ? number : 0;
}

int64_t Sum(const std::vector<pg::Outcome>& outcomes, const std::vector<size_t>& at) {
  int64_t sum = 0;
  for (const size_t i : at) sum += outcomes[i].result.rows_affected;
  return sum;
}

}  // namespace

absl::StatusOr<Probe> RunProbe(pg::Connection& connection, const StepSql& sql,
                               const OptionalKey& lower, const OptionalKey& upper,
                               absl::Duration budget, const ProbeOptions& options) {
  std::vector<const BoundStatement*> statements;
  if (upper) {
    statements = sql.BatchStatements(lower, *upper);
  } else {
    for (const BoundStatement& statement : sql.once()) statements.push_back(&statement);
  }
  const bool images = upper && options.images > 0;
  Script script(sql, lower, upper, budget);
  // More behind than before, so that rows which the batch inserts push none out of sight.
  const auto look = [&](int64_t rows) {
    return images ? script.AddBounded(sql.RowsCommand(lower, *upper, rows)) : 0;
  };
  script.Add({.statement = {"c_begin", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"}});
  const size_t before = look(options.images);
  const size_t effects_before = script.AddBounded({.statement = sql::kEffects});
  const size_t began = script.AddBounded({.statement = sql::kClockAndWal});
  const std::vector<size_t> first = script.AddStatements(statements);
  script.AddBounded({.statement = {"c_constraints", "SET CONSTRAINTS ALL IMMEDIATE"}},
                    "a deferred constraint");
  const size_t ended = script.AddBounded({.statement = sql::kClockAndWal});
  const size_t effects = script.AddBounded({.statement = sql::kEffects});
  const size_t after = look(options.images * 4);
  size_t effects_again = 0, again = 0;
  std::vector<size_t> second;
  if (options.twice) {
    second = script.AddStatements(statements);
    effects_again = script.AddBounded({.statement = sql::kEffects});
    again = look(options.images * 4);
  }
  const std::vector<pg::Outcome> outcomes =
      connection.RunPipeline(script.commands(), {.timeout = kClientDeadline});
  if (!connection.broken()) DUNLIN_RETURN_IF_ERROR(connection.Query("ROLLBACK").status());
  Probe probe;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].status.ok()) continue;
    if (connection.broken() || !pg::GetServerError(outcomes[i].status)) return outcomes[i].status;
    probe.status = outcomes[i].status;
    probe.failed = script.name(i).empty() ? "looking at the rows" : script.name(i);
    return probe;
  }
  probe.twice = options.twice;
  probe.rows_changed = Sum(outcomes, first);
  probe.rows_changed_again = Sum(outcomes, second);
  probe.took = absl::Seconds(Number(outcomes[ended].result, 0) - Number(outcomes[began].result, 0));
  probe.wal_bytes =
      static_cast<int64_t>(Number(outcomes[ended].result, 1) - Number(outcomes[began].result, 1));
  probe.effects = Effects(outcomes[effects_before].result, outcomes[effects].result);
  if (images) {
    probe.before = Images(outcomes[before].result);
    probe.after = Images(outcomes[after].result);
  }
  if (options.twice) {
    probe.effects_again = Effects(outcomes[effects].result, outcomes[effects_again].result);
    if (images) probe.again = Images(outcomes[again].result);
  }
  return probe;
}

}  // namespace dunlin::agent
