#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "common/limits.h"
#include "common/migration/parser.h"
#include "common/migration/sql_template.h"
#include "tests/fuzz/fuzz.h"

namespace {

using dunlin::Definition;
using dunlin::FileProblem;
using dunlin::SqlTemplate;
using dunlin::SqlText;
using Lines = std::vector<std::string>;

// A place is in the file: behind the last character of a line at most, and of the file's last line.
void RequirePlace(int line, int column, const Lines& lines, const std::string& what) {
  FUZZ_REQUIRE(line >= 1 && static_cast<size_t>(line) <= lines.size(), what);
  const std::string& text = lines[static_cast<size_t>(line) - 1];
  FUZZ_REQUIRE(column >= 1 && static_cast<size_t>(column) <= text.size() + 1, what);
}

void RequireProblem(const FileProblem& problem, const Lines& lines) {
  const std::string text = problem.ToString();
  FUZZ_REQUIRE(absl::StartsWith(text, "db/x.yaml"), text);
  FUZZ_REQUIRE(!problem.message.empty(), text);
  FUZZ_REQUIRE(!absl::StrContains(text, '\n'), "a problem is one line: " + text);
  if (problem.line != 0) RequirePlace(problem.line, problem.column, lines, text);
}

// A statement of a file that was accepted stands somewhere in it, and is one that can be rendered.
void RequireStatement(const SqlText& sql, const Definition& definition, const Lines& lines,
                      SqlTemplate::Kind kind) {
  RequirePlace(sql.line, sql.column, lines, sql.sql);
  std::vector<std::string> names;
  for (const auto& parameter : definition.parameters) names.push_back(parameter.name);
  const auto parsed = SqlTemplate::ParseOrProblem(sql.sql, names, kind);
  FUZZ_REQUIRE(std::holds_alternative<SqlTemplate>(parsed), sql.sql);
}

void RequireSteps(const Definition& definition, const Lines& lines) {
  FUZZ_REQUIRE(!definition.steps.empty(), "no step");
  for (const dunlin::StepDefinition& step : definition.steps) {
    FUZZ_REQUIRE(step.is_once() != !step.batch.empty(), "a step is one or the other");
    for (const auto* statements : {&step.batch, &step.once, &step.lock_statements})
      for (const SqlText& sql : *statements)
        RequireStatement(sql, definition, lines, SqlTemplate::Kind::kStatement);
    if (step.verify)
      RequireStatement(*step.verify, definition, lines, SqlTemplate::Kind::kStatement);
    if (step.where)
      RequireStatement(*step.where, definition, lines, SqlTemplate::Kind::kExpression);
  }
}

void RequireLimits(const dunlin::Limits& limits) {
  FUZZ_REQUIRE(limits.batch_time >= absl::Milliseconds(5), "batch_time");
  FUZZ_REQUIRE(limits.batch_time <= absl::Seconds(10), "batch_time");
  FUZZ_REQUIRE(limits.concurrency >= 1 && limits.concurrency <= 256, "concurrency");
  FUZZ_REQUIRE(limits.rows_per_second >= 0, "rows_per_second");
  FUZZ_REQUIRE(limits.pause >= absl::ZeroDuration(), "pause");
  FUZZ_REQUIRE(limits.barrier_timeout > absl::ZeroDuration(), "barrier_timeout");
  FUZZ_REQUIRE(limits.verify_timeout > absl::ZeroDuration(), "verify_timeout");
  FUZZ_REQUIRE(limits.max_quarantined >= 0 && limits.max_quarantined <= dunlin::kMaxQuarantined,
               "max_quarantined");
}

}  // namespace

// Any bytes have an answer: a definition within its limits, or problems whose places are in the
// file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const dunlin::ParseResult parsed = dunlin::ParseMigration("db/x.yaml", text);
  const Lines lines = absl::StrSplit(text, '\n');
  FUZZ_REQUIRE(parsed.problems.size() <= 101, "too many problems for a person");
  for (const FileProblem& problem : parsed.problems) RequireProblem(problem, lines);
  if (!parsed.ok()) return 0;
  RequireSteps(parsed.definition, lines);
  RequireLimits(parsed.definition.limits);
  for (const auto& requirement : parsed.definition.requirements)
    RequirePlace(requirement.sql.line, requirement.sql.column, lines, requirement.sql.sql);
  return 0;
}
