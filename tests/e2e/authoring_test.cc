// `dunlin new` and `dunlin test`, as somebody uses them who writes a migration.
#include <signal.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include <nlohmann/json.hpp>

#include "tests/e2e/command_fixture.h"

namespace dunlin::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class AuthoringTest : public CommandTest {
 protected:
  std::string Read(const std::string& path) const {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  // `dunlin test` on the test's own server: as its superuser, or as `role`.
  RunResult TestIt(const std::string& path, const std::string& role = "postgres") const {
    const std::string server =
        absl::StrReplaceAll(server_.Dsn("postgres"), {{"postgres@", absl::StrCat(role, "@")}});
    return Dunlin({"test", path, "--server", server});
  }
  // A migration of table t with `batch`, and its test. Its path.
  std::string WriteBoth(const std::string& batch, const std::string& test,
                        const std::string& more = "") const {
    Write("20261123120000_x.test.yaml", test);
    return Write("20261123120000_x.yaml",
                 absl::StrCat("description: d\ntable: t\nbatch: ", batch, "\n", more));
  }
  std::string Databases() {
    return server_.Text("postgres",
                        "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE "
                        "'dunlin_test%'");
  }
};

constexpr const char* kCounting = R"(
schema: CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)
rows: {t: [{id: 1}, {id: 2}, {id: 3}, {id: 4}, {id: 5}]}
expect: {t: [{id: 1, n: 1}, {id: 2, n: 1}, {id: 3, n: 1}, {id: 4, n: 1}, {id: 5, n: 1}]}
)";

class KindTest : public AuthoringTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(KindTest, IsValidAsWrittenAndItsTestPasses) {
  const std::string kind = GetParam();
  const RunResult made = Dunlin({"new", "a_" + kind, "--kind", kind, "--table", "reservations",
                                 "--dir", folder_, "-o", "json"});
  ASSERT_EQ(made.exit_code, 0) << made.output;
  const auto files = nlohmann::json::parse(made.output)["files"];
  EXPECT_EQ(files.size(), kind == "copy" ? 4u : 2u);
  const std::string path = files[0];
  const RunResult checked = Dunlin({"check", path});
  EXPECT_EQ(checked.exit_code, 0) << checked.output;
  EXPECT_THAT(checked.output, Not(HasSubstr("warning")));
  const RunResult tested = TestIt(path);
  EXPECT_EQ(tested.exit_code, 0) << tested.output;
  EXPECT_THAT(tested.output, AllOf(HasSubstr("at once"), HasSubstr("interrupted at every step"),
                                   HasSubstr("twice")));
  if (kind != "once") {
    EXPECT_THAT(tested.output, AllOf(HasSubstr("in batches of 1 row"), HasSubstr("in 3 shards")));
  }
  if (kind == "copy" || kind == "counter" || kind == "insert") {
    EXPECT_THAT(Read(path), HasSubstr("\nlock: true\n"));
  }
  EXPECT_THAT(Databases(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, KindTest,
                         ::testing::Values("backfill", "copy", "delete", "insert", "normalise",
                                           "counter", "once"));

// As a newcomer fills it in: other columns, another schema, a table that needs quotes.
TEST_F(AuthoringTest, AFilledInTemplateTestsWhatItSays) {
  const RunResult made =
      Dunlin({"new", "cancel", "--table", "shop.\"Old Orders\"", "--dir", folder_, "-o", "json"});
  ASSERT_EQ(made.exit_code, 0) << made.output;
  const auto written = nlohmann::json::parse(made.output)["files"];
  for (const std::string path : written) {
    const std::string filled = absl::StrReplaceAll(
        Read(path), {{"old_column", "email"}, {"new_column", "\"Email\""}, {"upper(", "lower("}});
    const bool test = absl::StrContains(path, ".test.");
    std::ofstream(path) << (test ? absl::StrReplaceAll(
                                       filled, {{"ann", "Ann"}, {"ANN", "ann"}, {"BOB", "bob"}})
                                 : filled);
    if (test) continue;
    const RunResult tested = TestIt(path);
    EXPECT_EQ(tested.exit_code, 1) << tested.output;  // the test is not filled in yet
  }
  const std::string path = nlohmann::json::parse(made.output)["files"][0];
  const RunResult tested = TestIt(path);
  EXPECT_EQ(tested.exit_code, 0) << tested.output;
}

TEST_F(AuthoringTest, NewNeverOverwritesAndWritesAllOrNothing) {
  const std::string name = "20261123120000_taken";
  Write(name + ".down.sql", "mine");
  const RunResult made = Dunlin({"new", name, "--kind", "copy", "--table", "t", "--dir", folder_});
  EXPECT_EQ(made.exit_code, 5) << made.output;
  EXPECT_THAT(made.output, HasSubstr("exists already"));
  EXPECT_EQ(Read(folder_ + "/" + name + ".down.sql"), "mine");
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/" + name + ".yaml"));
  EXPECT_EQ(Dunlin({"new", "Bad-Name", "--table", "t", "--dir", folder_}).exit_code, 2);
  const RunResult no_table = Dunlin({"new", "x", "--dir", folder_});
  EXPECT_EQ(no_table.exit_code, 2);
  EXPECT_THAT(no_table.output, HasSubstr("which table?"));
  const RunResult alone = Dunlin({"new", "x", "--table", "t", "--dir", folder_, "--no-test"});
  EXPECT_EQ(alone.exit_code, 0) << alone.output;
  EXPECT_THAT(alone.output, Not(HasSubstr(".test.yaml")));
}

TEST_F(AuthoringTest, TheCopysTriggerKeepsTheCopyUpToDate) {
  const RunResult made = Dunlin(
      {"new", "split", "--kind", "copy", "--table", "orders", "--dir", folder_, "-o", "json"});
  ASSERT_EQ(made.exit_code, 0) << made.output;
  std::map<std::string, std::string> files;
  const auto written = nlohmann::json::parse(made.output)["files"];
  for (const std::string path : written) files[path.substr(path.find("_split.") + 7)] = path;
  server_.Exec("app",
               "CREATE TABLE orders (id bigint PRIMARY KEY, old_column text);"
               "CREATE TABLE orders_copy (id bigint PRIMARY KEY, old_column text);"
               "INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'c')");
  server_.Exec("app", Read(files["up.sql"]));
  server_.Exec("app",
               "INSERT INTO orders VALUES (4, 'd'); UPDATE orders SET old_column = 'B' WHERE id = "
               "2; DELETE FROM orders WHERE id = 4; UPDATE orders SET id = 5 WHERE id = 3");
  const std::string copy = "SELECT string_agg(id || old_column, ' ' ORDER BY id) FROM orders_copy";
  EXPECT_EQ(server_.Text("app", copy), "2B 5c");
  const RunResult ran = OnDatabase({"local", files["yaml"]});
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  EXPECT_EQ(server_.Text("app", copy), "1a 2B 5c");
  server_.Exec("app", Read(files["down.sql"]));
  server_.Exec("app", "DELETE FROM orders");
  EXPECT_EQ(server_.Text("app", copy), "1a 2B 5c");
}

TEST_F(AuthoringTest, ATestRunsOnAScratchServerOfItsOwn) {
  const std::string path = WriteBoth("UPDATE t SET n = n + 1 WHERE :batch", kCounting);
  Process process({Binary("dunlin"), "test", path, "-o", "json"});
  EXPECT_EQ(process.Wait(absl::Minutes(2)), 0) << process.Output();
  const auto result = nlohmann::json::parse(process.Output());
  EXPECT_EQ(result["ok"], true);
  EXPECT_EQ(result["cases"][0]["ways"].size(), 6u);
  const std::string its = absl::StrCat("dunlin_scratch_", process.pid(), "_");
  for (const std::string where : {"/tmp", "/dev/shm"}) {
    for (const auto& entry : std::filesystem::directory_iterator(where))
      EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(its))) << where;
  }
}

TEST_F(AuthoringTest, WhatDiffersFromTheExpectedIsShown) {
  const std::string path = WriteBoth("UPDATE t SET n = n + 2 WHERE id > 4 AND :batch", kCounting);
  const RunResult tested = TestIt(path);
  EXPECT_EQ(tested.exit_code, 1);
  EXPECT_THAT(tested.output, AllOf(HasSubstr("the rows differ from what the test expects"),
                                   HasSubstr(R"(- is not there    {"n": 1, "id": 1})"),
                                   HasSubstr(R"(+ is there        {"n": 2, "id": 5})")));
}

TEST_F(AuthoringTest, ADependenceOnHowRowsAreCutIsFound) {
  const std::string path =
      WriteBoth("UPDATE t SET n = (SELECT count(*) FROM t o WHERE o.n = 0) WHERE :batch", R"(
schema: CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)
rows: {t: [{id: 1}, {id: 2}, {id: 3}]}
expect: {t: [{id: 1, n: 3}, {id: 2, n: 3}, {id: 3, n: 3}]}
)");
  const RunResult tested = TestIt(path);
  EXPECT_EQ(tested.exit_code, 1);
  EXPECT_THAT(tested.output, AllOf(HasSubstr("in batches of 1 row: the rows differ"),
                                   Not(HasSubstr("at once:")), HasSubstr("`ignore:")));
}

TEST_F(AuthoringTest, AWrongPromiseOfIdempotenceIsFound) {
  const std::string path =
      WriteBoth("UPDATE t SET n = n + 1 WHERE :batch", kCounting, "idempotent: true\n");
  const RunResult tested = TestIt(path);
  EXPECT_EQ(tested.exit_code, 1);
  EXPECT_THAT(tested.output, HasSubstr("twice: the rows differ"));
}

// The interruptions are real: with a rule of the protocol broken they find rows that were done
// twice.
TEST_F(AuthoringTest, InterruptionsFindWorkThatIsDoneTwice) {
  const std::string path = WriteBoth("UPDATE t SET n = n + 1 WHERE :batch", kCounting);
  ASSERT_EQ(setenv("DUNLIN_MUTANT", "plan_twice", 1), 0);
  const RunResult tested = TestIt(path);
  ASSERT_EQ(unsetenv("DUNLIN_MUTANT"), 0);
  EXPECT_EQ(tested.exit_code, 1) << tested.output;
  EXPECT_THAT(tested.output,
              AllOf(HasSubstr("interrupted at every step"), Not(HasSubstr("at once:"))));
}

TEST_F(AuthoringTest, SqlInPlaceOfRowsParametersAndASchemaFile) {
  Write("structure.sql",
        "\\restrict abc\nSELECT pg_catalog.set_config('search_path', '', false);\n"
        "CREATE TABLE public.t (id int PRIMARY KEY, n int, at timestamptz, seen timestamptz);\n");
  const std::string path = WriteBoth(
      "UPDATE t SET n = :plus::int, at = :started_at, seen = clock_timestamp() WHERE :batch", R"(
schema_file: structure.sql
ignore: [t.at, t.seen]
cases:
  - name: many
    parameters: {plus: 7}
    rows: INSERT INTO t SELECT g, 0 FROM generate_series(1, 300) g
    expect: SELECT * FROM t WHERE n IS DISTINCT FROM 7 OR at > now()
)",
      "parameters: {plus: integer}\nlimits: {pause: 10m, concurrency: 1}\ntarget: elsewhere\n"
      "depends_on: [20261101000000_before]\ncritical: true\n");
  const RunResult tested = TestIt(path);
  EXPECT_EQ(tested.exit_code, 0) << tested.output;
}

TEST_F(AuthoringTest, WhatCannotWorkSaysWhyAndWhatToDo) {
  const std::string alone = Write("20261123120001_y.yaml",
                                  "description: d\ntable: t\nbatch: DELETE FROM t WHERE :batch\n");
  const RunResult no_test = TestIt(alone);
  EXPECT_EQ(no_test.exit_code, 2);
  EXPECT_THAT(no_test.output, HasSubstr("has no test: expected"));

  const std::string path =
      WriteBoth("DELETE FROM t WHERE :batch", "schema: CREATE TABEL t\nexpect: {t: []}\n");
  const RunResult broken = TestIt(path);
  EXPECT_EQ(broken.exit_code, 2);
  EXPECT_THAT(broken.output, AllOf(HasSubstr("the SQL of `schema` fails"), HasSubstr("TABEL")));

  WriteBoth("DELETE FROM t WHERE :batch",
            "schema: CREATE TABLE t (id int PRIMARY KEY)\nrows: {t: [{id: 1}, {idd: 2}]}\nexpect: "
            "{t: []}\n");
  const RunResult row = TestIt(path);
  EXPECT_EQ(row.exit_code, 2);
  EXPECT_THAT(row.output, HasSubstr("the row of t at line 2 cannot be inserted"));

  WriteBoth("DELETE FROM t WHERE :batch",
            "schema: CREATE TABLE t (id int PRIMARY KEY)\nexpect: {t: []}\n",
            "requires: [{sql: SELECT false, says: the moon is full}]\n");
  const RunResult waits = TestIt(path);
  EXPECT_EQ(waits.exit_code, 1);
  EXPECT_THAT(waits.output, HasSubstr("the moon is full"));

  WriteBoth("UPDATE t SET n = 1 / n WHERE :batch", kCounting);
  const RunResult fails = TestIt(path);
  EXPECT_EQ(fails.exit_code, 1);
  EXPECT_THAT(fails.output, HasSubstr("22012"));

  server_.Exec("postgres", "CREATE ROLE poor LOGIN");
  const RunResult refused = TestIt(path, "poor");
  EXPECT_EQ(refused.exit_code, 5);
  EXPECT_THAT(refused.output, HasSubstr("role poor may not create databases"));
  EXPECT_THAT(Databases(), IsEmpty());
}

TEST_F(AuthoringTest, CtrlCDropsTheScratchDatabases) {
  const std::string path = WriteBoth("UPDATE t SET n = n + 1 WHERE :batch", R"(
schema: CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)
rows: INSERT INTO t SELECT g, 0 FROM generate_series(1, 50000) g
expect: SELECT * FROM t WHERE n <> 1
)");
  server_.Exec("postgres", "CREATE ROLE tester LOGIN CREATEDB");
  Process process({Binary("dunlin"), "test", path, "--server",
                   absl::StrReplaceAll(server_.Dsn("postgres"), {{"postgres@", "tester@"}})});
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] { return absl::StrContains(Databases(), "_2"); }));
  process.Signal(SIGINT);
  EXPECT_EQ(process.Wait(absl::Seconds(20)), 130) << process.Output();
  EXPECT_THAT(Databases(), IsEmpty());
}

}  // namespace
}  // namespace dunlin::testing
