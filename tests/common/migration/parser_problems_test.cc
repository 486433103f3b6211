#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/limits.h"
#include "common/migration/parser.h"

namespace dunlin {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Problems, without the file's name; none when the text is valid.
std::vector<std::string> Problems(absl::string_view text) {
  std::vector<std::string> out;
  for (const FileProblem& problem : ParseMigration("f", text).problems) {
    EXPECT_EQ(problem.file, "f");
    out.push_back(problem.ToString().substr(2));
  }
  return out;
}

constexpr const char* kBatch = "description: d\ntable: t\nbatch: DELETE FROM t WHERE :batch\n";

struct FaultyFile {
  std::string text;
  std::string problem;  // part of one problem
};

void Expect(const std::vector<FaultyFile>& cases) {
  for (const FaultyFile& c : cases) {
    const std::vector<std::string> found = Problems(c.text);
    EXPECT_THAT(found, Contains(HasSubstr(c.problem))) << c.text << "\n"
                                                       << absl::StrJoin(found, "\n");
  }
}

// A valid file whose fourth line is given.
std::string With(absl::string_view line) { return absl::StrCat(kBatch, line, "\n"); }

TEST(ParserProblemsTest, APlaceIsFileLineColumnAndField) {
  const FileProblem problem = {
      .file = "db/x.yaml", .line = 7, .column = 3, .field = "limits.batch_time", .message = "no"};
  EXPECT_EQ(problem.ToString(), "db/x.yaml:7:3: limits.batch_time: no");
  EXPECT_EQ((FileProblem{.file = "f", .field = {}, .message = "no"}.ToString()), "f: no");
}

TEST(ParserProblemsTest, BrokenFilesSayWhere) {
  Expect({
      {"", "the file is empty"},
      {"# nothing\n", "the file is empty"},
      {"- a\n", "1:1: expected fields such as"},
      {"just text\n", "1:1: expected fields such as"},
      {"description: [\n", "the YAML is broken"},
      {"description: d\n---\ndescription: e\n", "2:1: the YAML document ends before this"},
      // yaml-cpp 0.7 makes empty documents of it for ever.
      {", a", "1:1: the YAML document ends before this"},
      {"description: d\n}\n", "the YAML is broken"},
      {"{description: d}\n}\n", "the YAML is broken: illegal flow end"},
      {"description: d\n\towner: x\n", "2:1: a tab begins the line"},
      {std::string("description: d\nowner: a\0b\n", 26), "2:9: a NUL byte"},
      {"description: \xff\n", "1:14: a byte that is not UTF-8"},
      {"description: \xed\xa0\x80\n", "1:14: a byte that is not UTF-8"},
      {std::string(static_cast<size_t>(kMaxDefinitionBytes) + 1, '#'), "expected at most 1048576"},
      {std::string(100000, '['), "the YAML is broken"},
  });
}

TEST(ParserProblemsTest, UnknownFieldsSuggestWhatWasMeant) {
  Expect({
      {With("bacth: x"), "4:1: bacth: unknown field; did you mean 'batch'?"},
      {With("limits: {concurency: 1}"),
       "4:10: limits.concurency: unknown field; did you mean "
       "'concurrency'?"},
      {With("zzzzzz: 1"), "4:1: zzzzzz: unknown field; expected one of description, owner"},
      {With("'<<': 1"), "unknown field"},
      {With("? [a]\n: b"), "the name of a field must be a text"},
  });
}

TEST(ParserProblemsTest, FieldsOfLaterVersionsSaySo) {
  for (const std::string name : {"transform", "schemas", "priority"}) {
    Expect({{With(name + ": false"), "4:1: " + name + ": not supported yet"}});
  }
  Expect({
      {With("limits: {priority: 3}"), "4:10: limits.priority: not supported yet"},
      {With("limits: {max_quarantined: 10001}"), "limits.max_quarantined: expected"},
      {"description: d\nsteps:\n  - transform: x\n", "3:5: steps[0].transform: not supported yet"},
  });
}

TEST(ParserProblemsTest, UndoSaysHowInOneWay) {
  Expect({
      {With("undo: yes"), "undo: expected keep: [columns], or batch: [statements"},
      {With("undo: {}"), "undo: expected keep"},
      {With("undo: {keep: [a], batch: UPDATE t SET a = 1 WHERE :batch}"), "undo: expected keep"},
      {With("undo: {keep: []}"), "undo.keep: expected 1 to 32 columns"},
      {With("undo: {keep: [a, a]}"), "column a stands twice in the list"},
      {With("undo: {keep: [a, A]}"), "column a stands twice in the list"},
      {With("undo: {keep: [t.a]}"), "expected the name of a column"},
      {With("undo: {batch: UPDATE t SET a = 1}"), "undo.batch: the statement needs :batch"},
      {With("undo: {once: UPDATE t SET a = 1}"), "undo.once: unknown field"},
      {"description: d\nonce: UPDATE t SET a = 1\nundo: {keep: [a]}\n", "undo.keep: unknown field"},
      {"description: d\ntable: t\nbatch: UPDATE :table t SET a = 1 WHERE :batch(t)\nundo: {batch: "
       "UPDATE t SET a = 0 WHERE :batch}\n",
       "would run once for each leaf partition"},
  });
}

TEST(ParserProblemsTest, PaceFieldsSayWhatTheyExpect) {
  Expect({
      {With("limits: {wal_bytes_per_second: fast}"),
       "4:32: limits.wal_bytes_per_second: expected a size such as 500kB"},
      {With("on_pressure: 5s"), "4:14: on_pressure: expected a mapping of signals"},
      {With("on_pressure: {replica_lagg: 5s}"), "on_pressure.replica_lagg"},
      {With("on_pressure: {replica_lag: soon}"),
       "on_pressure.replica_lag: expected a duration such as 5s, or off"},
      {With("on_pressure: {lock_waits: 1.5}"), "on_pressure.lock_waits: expected a number, or off"},
      {With("on_pressure: {check: DELETE FROM t}"), "on_pressure.check"},
      {With("windows: nightly"), "windows: expected DAYS HH:MM-HH:MM ZONE"},
      {With("windows: []"), "windows: expected 1 to 32 windows"},
  });
}

TEST(ParserProblemsTest, RepeatedFieldsAreRefused) {
  Expect({
      {With("table: u"), "4:1: table: stands twice"},
      {With("labels: {a: b, a: c}"), "4:16: labels.a: stands twice"},
      {With("limits: {pause: 1s, pause: 2s}"), "limits.pause: stands twice"},
      {With("parameters: {a: int, a: int}"), "parameters.a: stands twice"},
  });
}

TEST(ParserProblemsTest, AWrongTypeSaysWhatWasFoundAndWhatWasExpected) {
  Expect({
      {With("owner: [a]"), "4:8: owner: expected a text, found a list"},
      {With("owner:"), "4:1: owner: has no value"},
      {With("owner: ''"), "4:8: owner: is empty"},
      {With("idempotent: yes"), "4:13: idempotent: expected true or false, found 'yes'"},
      {With("idempotent: 'true'"), "expected true or false"},
      {With("limits: 5"), "4:9: limits: expected a mapping of limits, found '5'"},
      {With("limits: {batch_time: 100}"),
       "4:22: limits.batch_time: '100' is not a duration; expected"},
      {With("limits: {batch_time: [1]}"),
       "expected a duration such as 250ms, 1.5s or 7d, found a list"},
      {With("limits: {batch_time: 4ms}"), "expected a duration from 5ms to 10s, found '4ms'"},
      {With("limits: {batch_time: 11s}"), "expected a duration from 5ms to 10s"},
      {With("limits: {concurrency: 0}"), "expected a whole number from 1 to 256, found '0'"},
      {With("limits: {concurrency: 257}"), "from 1 to 256"},
      {With("limits: {concurrency: 1.5}"), "from 1 to 256"},
      {With("limits: {concurrency: '4'}"), "from 1 to 256"},
      {With("limits: {rows_per_second: 0}"), "expected a whole number of at least 1"},
      {With("limits: {rows_per_second: 99999999999999999999}"), "of at least 1"},
      {With("limits: {pause: 2h}"), "expected a duration from 0s to 1h"},
      {With("durability: lax"), "4:13: durability: expected strict or relaxed, found 'lax'"},
      {With("durability: {a: b}"), "expected strict or relaxed, found a mapping"},
      {With("soak: never"), "soak: 'never' is not a duration"},
      {With("labels: [a]"), "labels: expected a mapping of names to texts, found a list"},
      {With("labels: {a: [b]}"), "labels.a: expected a text, found a list"},
      {With("depends_on: x"), "depends_on: expected a list of names of migrations, found 'x'"},
      {With("depends_on: [x]"), "4:14: depends_on[0]: 'x' is not the name of a migration"},
      {With("target: a b"), "target: expected the name of a target"},
      {With("target: []"), "4:9: target: expected 1 to 1000 targets"},
      {With("target: [a, a]"), "4:13: target[1]: a stands twice in the list"},
      {With("supersedes: x"), "4:13: supersedes: 'x' is not the name of a migration"},
      {With("critical: yes"), "critical: expected true or false"},
      {With("parameters: {Batch: int}"), "parameters.Batch: expected a name of lower-case"},
      {With("parameters: {batch: int}"), "parameters.batch: :batch has its own meaning"},
      {With("parameters: {a: ''}"), "parameters.a: is empty"},
      {With("requires: [x]"), "requires[0]: expected a mapping of sql and says, found 'x'"},
      {With("requires: [{sql: SELECT true}]"), "requires[0]: says is missing"},
      {With("requires: [{sql: DELETE FROM t, says: x}]"),
       "4:18: requires[0].sql: expected a SELECT, found DELETE"},
      {With("requires: [{sql: 'SELECT 1 WHERE :batch', says: x}]"), ":batch cannot stand here"},
      {With("key: []"), "key: expected 1 to 32 columns"},
      {With("key: [a, A]"), "4:10: key[1]: column a stands twice in the key"},
      {With("key: [a.b]"), "key[0]: expected the name of a column"},
      {With("key: [a b]"), "key[0]: 'a b' is not an SQL identifier"},
      {With("lock: 1"), "lock: expected true, false or a list of SELECTs with :batch, found '1'"},
      {With("lock: []"), "lock: the list is empty"},
      {With("lock: [SELECT 1]"), "lock[0]: the statement needs :batch"},
      {With("lock: ['DELETE FROM t WHERE :batch']"), "lock[0]: expected a SELECT, found DELETE"},
      {With("verify: DELETE FROM t"), "verify: expected a SELECT, found DELETE"},
      {With("verify: WITH d AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM d"),
       "expected a SELECT that changes nothing"},
      {With("where: a = :b"), "4:12: where: :b is not declared"},
      {With("where: ':batch'"), "4:9: where: :batch cannot stand in an expression"},
      {With("where: true) OR (true"), "4:12: where: ')' closes nothing"},
  });
}

TEST(ParserProblemsTest, WhatIsMissingOrExcludesEachOtherIsSaid) {
  Expect({
      {"table: t\nbatch: DELETE FROM t WHERE :batch\n", "1:1: description: is missing"},
      {"description: d\n", "says nothing to do; expected table and batch, or once, or steps"},
      {"description: d\ntable: t\n", "batch is missing"},
      {"description: d\nbatch: DELETE FROM t WHERE :batch\n", "table is missing"},
      {"description: d\ntable: t\nbatch: []\n", "3:8: batch: the list is empty"},
      {"description: d\ntable: a.b.c\nbatch: x\n", "2:8: table: expected name or schema.name"},
      {"description: d\ntable: Odd Name\nbatch: x\n",
       "2:8: table: 'Odd Name' is not an SQL identifier"},
      {With("steps: []"), "4:1: steps: cannot stand beside table, batch; move them into a step"},
      {"description: d\nsteps: []\n", "2:8: steps: expected 1 to 64 steps"},
      {"description: d\nsteps: {}\n", "steps: expected a list of steps, found a mapping"},
      {"description: d\nsteps: [x]\n", "steps[0]: expected a mapping"},
      {"description: d\nsteps:\n  - {}\n", "steps[0]: table is missing"},
      {"description: d\nsteps:\n  - owner: x\n",
       "3:5: steps[0].owner: belongs to the top of the file"},
      {With("once: SELECT 1"), "2:1: table: table cannot stand beside once"},
      {"description: d\nonce: SELECT 1\nlock: true\n", "3:1: lock: lock cannot stand beside once"},
      {"description: d\nonce: DELETE FROM t WHERE :batch\n", "once: :batch cannot stand here"},
      {"description: d\nonce: ['DELETE FROM :table']\n", "once[0]: :table cannot stand here"},
      {"description: d\nonce: []\n", "once: the list is empty"},
      {"description: d\ntable: t\nbatch: DELETE FROM t\n",
       "3:8: batch: the statement needs :batch"},
      {"description: d\ntable: t\nbatch: [[a]]\n",
       "batch[0]: expected a text in SQL, found a list"},
  });
}

TEST(ParserProblemsTest, Trap03_TableIsNamedByAllStatementsOrByNone) {
  Expect({
      {"description: d\ntable: t\nbatch:\n- DELETE FROM :table WHERE :batch\n"
       "- DELETE FROM t WHERE :batch\n",
       "5:3: batch[1]: another statement of this part names :table"},
      {With("verify: 'SELECT count(*) FROM :table WHERE :batch'"),
       "3:8: batch: another statement of this part names :table"},
      {"description: d\ntable: t\nbatch: DELETE FROM :table WHERE :batch\n"
       "verify: SELECT count(*) FROM :table\n",
       "4:9: verify: a statement with :table runs for each shard"},
  });
}

TEST(ParserProblemsTest, SqlProblemsPointIntoTheScalar) {
  const std::string head = "description: d\ntable: t\nbatch:";
  Expect({
      {head + " DELETE FROM t WHERE a = :x AND :batch\n", "3:32: batch: :x is not declared"},
      {head + "\n  - DELETE FROM t\n    WHERE a = :x AND :batch\n", "5:15: batch[0]: :x"},
      {head + "\n  - |\n    DELETE FROM t\n    WHERE a = :x\n", "6:15: batch[0]: :x"},
      {head + "\n  - |2-\n\n      DELETE FROM t\n\n    WHERE é = :x\n", "8:15: batch[0]: :x"},
      {head + " >\n  DELETE FROM t\n  WHERE a =\n\n  :x\n", "7:3: batch: :x"},
      {head + " 'DELETE FROM t WHERE a = ''b'' AND :x'\n", "3:43: batch: :x"},
      {head + " \"DELETE FROM \\\"T\\\"\\nWHERE a\\t= :x\"\n", "3:39: batch: :x"},
      {head + " 'DELETE FROM t\n\n  WHERE :x'\n", "5:9: batch: :x"},
      {head + " COMMIT\n", "3:8: batch: a statement begins with"},
      {head + " DELETE FROM t WHERE a = $1\n", "3:32: batch: $1 is not for migration files"},
      {"description: d\r\ntable: t\r\nbatch: |\r\n  DELETE FROM t\r\n  WHERE :x\r\n",
       "5:9: batch: :x"},
  });
}

TEST(ParserProblemsTest, AllProblemsAreToldInTheOrderOfTheFile) {
  const std::vector<std::string> found =
      Problems("soak: x\nowner: [a]\ndescription: d\ntable: 1\nbatch: COMMIT\nzzzzz: 1\n");
  ASSERT_EQ(found.size(), 5U) << absl::StrJoin(found, "\n");
  EXPECT_THAT(found[0], StartsWith("1:7: soak"));
  EXPECT_THAT(found[1], StartsWith("2:8: owner"));
  EXPECT_THAT(found[2], StartsWith("4:8: table"));
  EXPECT_THAT(found[3], StartsWith("5:8: batch"));
  EXPECT_THAT(found[4], StartsWith("6:1: zzzzz"));
  const auto error = ParseMigrationOrError("f", "owner: a\n");
  EXPECT_EQ(error.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(error.status().message(), HasSubstr("f:1:1: description: is missing"));
}

TEST(ParserProblemsTest, EachProblemIsOneLine) {
  const auto error = ParseMigrationOrError("f", "description: d\nowner: [a]\ntable: |\n a\n b\n\n");
  const std::vector<std::string> lines = absl::StrSplit(error.status().message(), '\n');
  for (const std::string& line : lines) {
    EXPECT_THAT(line, StartsWith("f:"));
  }
  // The name of a field is quoted too.
  const std::string name = ParseMigrationOrError("f", "\"a\\nb\": 1\n").status().ToString();
  EXPECT_THAT(name, ::testing::HasSubstr("a b: unknown field"));
}

TEST(ParserProblemsTest, HostileFilesAreAnsweredInBoundedTimeAndSize) {
  std::string fields;
  for (int i = 0; i < 20000; ++i) absl::StrAppend(&fields, "x", i, ": 1\n");
  EXPECT_LE(Problems(fields).size(), 101U);
  EXPECT_FALSE(Problems("a: }\n").empty());  // yaml-cpp's LoadAll never answers
  std::string nested = "description: d\ntable: t\nbatch: SELECT 1 WHERE a OR ";
  for (int i = 0; i < 20000; ++i) nested += "(:batch OR ";
  nested += "b" + std::string(20000, ')') + "\n";
  Problems(nested);
  std::string list = "description: d\nonce: [";
  for (int i = 0; i < 20000; ++i) list += "SELECT 1, ";
  Expect({{list + "]\n", "2:7: once: expected at most 1000 items, found 20000"}});
}

TEST(ParserProblemsTest, TheParametersOfAFileCanBeUsedBeforeTheirDeclaration) {
  EXPECT_THAT(Problems("description: d\nonce: UPDATE t SET a = :v\nparameters: {v: int}\n"),
              ::testing::IsEmpty());
}

}  // namespace
}  // namespace dunlin
