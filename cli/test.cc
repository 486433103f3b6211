// `dunlin test`: a migration's test, in every way in which the migration may come to be run.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/rehearsal/rehearsal.h"
#include "cli/rehearsal/scratch_database.h"
#include "cli/rehearsal/scratch_server.h"
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/dsn_source.h"
#include "common/migration/name.h"
#include "common/migration/parser.h"
#include "common/status_macros.h"

namespace dunlin::cli {
namespace {

using nlohmann::json;

constexpr size_t kRowsShown = 10;
constexpr int kShards = 3;
// An interrupted run has about so many batches: enough to have some between the first and the last.
constexpr int64_t kInterruptedBatches = 4;

struct Test {
  std::string migration_path, path;
  MigrationFile migration;
  std::string definition;  // as it is rehearsed
  TestFile test;
  std::string schema_file;  // its text
};

// One way of running a case, and what came of it.
struct Way {
  std::string how;
  std::string problem;  // empty = as it should be
  std::vector<Difference> differences;
  std::string against;  // what the rows differ from
  bool ok() const { return problem.empty() && differences.empty(); }
};

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return std::string{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// FILE is the migration or its test; the other lies beside it.
absl::StatusOr<Test> ReadTest(const std::string& given) {
  Test test;
  absl::string_view stem = given;
  if (!absl::ConsumeSuffix(&stem, ".test.yaml") && !absl::ConsumeSuffix(&stem, ".test.yml") &&
      !absl::ConsumeSuffix(&stem, ".yaml"))
    absl::ConsumeSuffix(&stem, ".yml");
  const auto beside = [&](const char* a, const char* b) {
    std::error_code absent;
    const std::string second = absl::StrCat(stem, b);
    return std::filesystem::exists(second, absent) ? second : absl::StrCat(stem, a);
  };
  test.migration_path = beside(".yaml", ".yml");
  test.path = beside(".test.yaml", ".test.yml");
  DUNLIN_ASSIGN_OR_RETURN(std::vector<MigrationFile> files, ReadFiles({test.migration_path}));
  test.migration = std::move(files[0]);
  test.definition = RehearsedDefinition(test.migration.bytes);
  const auto text = ReadText(test.path);
  if (!text.ok()) {
    return absl::NotFoundError(
        absl::StrCat(test.migration_path, " has no test: expected ", test.path,
                     " beside it. docs/testing-a-migration.md shows how to write one; `dunlin new` "
                     "writes one with each new migration"));
  }
  TestFileResult parsed = ParseTestFile(test.path, *text);
  if (!parsed.problems.empty()) {
    return absl::InvalidArgumentError(absl::StrJoin(
        parsed.problems, "\n",
        [](std::string* out, const FileProblem& one) { absl::StrAppend(out, one.ToString()); }));
  }
  test.test = std::move(parsed.test);
  if (!test.test.schema_file.empty()) {
    const auto folder = std::filesystem::path(test.path).parent_path();
    DUNLIN_ASSIGN_OR_RETURN(test.schema_file, ReadText((folder / test.test.schema_file).string()));
  }
  return test;
}

// Runs one case in every way, each on a database of its own that begins as the case says.
class CaseRunner {
 public:
  CaseRunner(ScratchServer& server, const Test& test, const TestCase& one)
      : server_(server), test_(test), case_(one) {}

  // CANCELLED: Ctrl-C. Other errors: of the server, or of the case's own SQL.
  absl::StatusOr<std::vector<Way>> Run() {
    DUNLIN_ASSIGN_OR_RETURN(original_, server_.Create());
    DUNLIN_ASSIGN_OR_RETURN(const Secret dsn, server_.DsnOf(original_));
    DUNLIN_RETURN_IF_ERROR(FillDatabase(dsn, test_.test, test_.schema_file, case_));
    DUNLIN_RETURN_IF_ERROR(RunWhole());
    if (ways_.back().ok()) DUNLIN_RETURN_IF_ERROR(RunOtherWays());
    DUNLIN_RETURN_IF_ERROR(server_.Drop(original_));
    return std::move(ways_);
  }

 private:
  // The way that all others must equal.
  absl::Status RunWhole() {
    Way way{.how = "at once", .against = "what the test expects"};
    DUNLIN_ASSIGN_OR_RETURN(const std::string database, server_.Create(original_));
    DUNLIN_ASSIGN_OR_RETURN(const Secret dsn, server_.DsnOf(database));
    const auto ran = Rehearse(dsn, database, test_.migration.name, test_.definition, Options());
    if (absl::IsCancelled(ran.status())) return ran.status();
    if (!ran.ok()) {
      way.problem = std::string(ran.status().message());
    } else {
      rows_done_ = ran->rows_done;
      DUNLIN_ASSIGN_OR_RETURN(way.differences, CompareToExpected(dsn, case_));
      DUNLIN_ASSIGN_OR_RETURN(whole_, TakeSnapshot(dsn, test_.test));
    }
    ways_.push_back(std::move(way));
    return server_.Drop(database);
  }

  absl::Status RunOtherWays() {
    const auto& steps = test_.migration.definition.steps;
    const bool batches =
        std::any_of(steps.begin(), steps.end(), [](const auto& step) { return !step.is_once(); });
    if (batches) {
      for (const int64_t rows : {1, 2, 1000}) {
        RehearsalOptions options = Options();
        options.batch_rows = rows;
        DUNLIN_RETURN_IF_ERROR(RunWay(
            rows == 1 ? "in batches of 1 row" : absl::StrCat("in batches of ", rows, " rows"),
            options));
      }
      RehearsalOptions options = Options();
      options.shards = kShards;
      options.batch_rows = 2;
      DUNLIN_RETURN_IF_ERROR(RunWay(absl::StrCat("in ", kShards, " shards"), options));
    }
    RehearsalOptions options = Options();
    options.interrupted = true;
    options.batch_rows = std::max<int64_t>(1, rows_done_ / kInterruptedBatches);
    DUNLIN_RETURN_IF_ERROR(RunWay("interrupted at every step", options));
    if (!test_.migration.definition.idempotent) return absl::OkStatus();
    return RunWay("twice", Options(), true);
  }

  absl::Status RunWay(const std::string& how, const RehearsalOptions& options, bool again = false) {
    Way way{.how = how, .against = "the same rows after one run at once"};
    DUNLIN_ASSIGN_OR_RETURN(const std::string database, server_.Create(original_));
    DUNLIN_ASSIGN_OR_RETURN(const Secret dsn, server_.DsnOf(database));
    auto ran = Rehearse(dsn, database, test_.migration.name, test_.definition, options);
    if (ran.ok() && again) {
      // Under another name: a finished migration does not run again.
      ran = Rehearse(dsn, database, absl::StrCat(test_.migration.name, "_again"), test_.definition,
                     options);
    }
    if (absl::IsCancelled(ran.status())) return ran.status();
    if (!ran.ok()) {
      way.problem = std::string(ran.status().message());
    } else {
      if (options.interrupted) absl::StrAppend(&way.how, " (", ran->kills, ")");
      DUNLIN_ASSIGN_OR_RETURN(const Snapshot found, TakeSnapshot(dsn, test_.test));
      way.differences = CompareSnapshots(whole_, found);
    }
    ways_.push_back(std::move(way));
    return server_.Drop(database);
  }

  RehearsalOptions Options() const { return {.parameters = case_.parameters}; }

  ScratchServer& server_;
  const Test& test_;
  const TestCase& case_;
  std::string original_;
  Snapshot whole_;
  int64_t rows_done_ = 0;
  std::vector<Way> ways_;
};

json WayJson(const Way& way) {
  json rows = json::array();
  for (const Difference& difference : way.differences) {
    rows.push_back({{"table", difference.table},
                    {"row", difference.row},
                    {"is", difference.unexpected ? "unexpected" : "missing"}});
  }
  return {{"how", way.how}, {"ok", way.ok()}, {"problem", way.problem}, {"differences", rows}};
}

void PrintFailure(const Way& way) {
  std::cout << "    " << way.how << ": "
            << (way.problem.empty() ? absl::StrCat("the rows differ from ", way.against)
                                    : way.problem)
            << "\n";
  std::string table;
  for (size_t i = 0; i < way.differences.size(); ++i) {
    const Difference& difference = way.differences[i];
    if (i == kRowsShown) {
      std::cout << "        … and " << way.differences.size() - i << " more (all: -o json)\n";
      break;
    }
    if (difference.table != table) std::cout << "      " << difference.table << "\n";
    table = difference.table;
    std::cout << (difference.unexpected ? "        + is there        "
                                        : "        - is not there    ")
              << difference.row << "\n";
  }
}

// Why rows may differ that no statement of the migration tells apart.
constexpr const char* kWhyWaysDiffer =
    "    A migration must do the same however its rows are cut into batches. Look for values that\n"
    "    depend on when or in which order a row is done: now() (write :started_at), sequences,\n"
    "    random(), LIMIT, statements that read other rows of the batch. What may differ is named\n"
    "    under `ignore: [table.column]` in the test.\n";

void PrintCase(const TestCase& one, const std::vector<Way>& ways, absl::Duration took) {
  const bool ok = std::all_of(ways.begin(), ways.end(), [](const Way& way) { return way.ok(); });
  const std::string name = one.name.empty() ? "" : absl::StrCat(one.name, ": ");
  if (ok) {
    std::cout << "  " << name << "ok ("
              << absl::StrJoin(
                     ways, ", ",
                     [](std::string* out, const Way& way) { absl::StrAppend(out, way.how); })
              << "; " << absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(100))) << ")"
              << std::endl;
    return;
  }
  std::cout << "  " << name << "FAILED\n";
  for (const Way& way : ways) {
    if (!way.ok()) PrintFailure(way);
  }
  const bool by_way =
      ways.front().ok() && std::any_of(ways.begin(), ways.end(),
                                       [](const Way& way) { return !way.differences.empty(); });
  if (by_way) std::cout << kWhyWaysDiffer;
  std::cout << std::flush;
}

// 0, 1 or the exit code of what stopped it.
int RunTestFile(const GlobalOptions& global, ScratchServer& server, const Test& test) {
  if (!global.json()) std::cout << test.path << "\n";
  json cases = json::array();
  int code = kDone;
  for (const TestCase& one : test.test.cases) {
    const absl::Duration began = SystemClock().Monotonic();
    const auto ways = CaseRunner(server, test, one).Run();
    if (!ways.ok()) {
      const std::string name = one.name.empty() ? "" : absl::StrCat(" (", one.name, ")");
      code = Complain(absl::Status(ways.status().code(),
                                   absl::StrCat(test.path, name, ": ", ways.status().message())));
      cases.push_back(
          {{"name", one.name}, {"ok", false}, {"problem", std::string(ways.status().message())}});
      break;
    }
    bool ok = true;
    json done = json::array();
    for (const Way& way : *ways) {
      ok = ok && way.ok();
      done.push_back(WayJson(way));
    }
    if (!ok) code = kNeedsPerson;
    cases.push_back({{"name", one.name}, {"ok", ok}, {"ways", done}});
    if (!global.json()) PrintCase(one, *ways, SystemClock().Monotonic() - began);
  }
  if (global.json()) {
    std::cout << json{{"file", test.path},
                      {"migration", test.migration.name},
                      {"ok", code == kDone},
                      {"cases", cases}}
                     .dump()
              << std::endl;
  }
  return code;
}

}  // namespace

int RunTest(const GlobalOptions& global, const TestOptions& options) {
  std::vector<Test> tests;
  for (const std::string& path : options.files) {
    auto test = ReadTest(path);
    if (!test.ok()) return Complain(test.status());
    tests.push_back(*std::move(test));
  }
  InstallInterrupt();
  absl::StatusOr<std::unique_ptr<ScratchServer>> server = absl::InternalError("none");
  if (options.server.empty()) {
    server = ScratchServer::Start();
  } else {
    const auto dsn = ReadDsn(options.server);
    if (!dsn.ok()) return Complain(dsn.status());
    server = ScratchServer::On(*dsn);
  }
  if (!server.ok()) return Complain(server.status());
  int worst = kDone;
  for (const Test& test : tests) {
    worst = std::max(worst, RunTestFile(global, **server, test));
    if (Interrupted()) return kInterrupted;
  }
  return worst;
}

}  // namespace dunlin::cli
