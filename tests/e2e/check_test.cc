// `dunlin check --database`: each faulty migration is found and explained, sound ones get nothing
// important, and nothing of a check stays behind.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include <nlohmann/json.hpp>

#include "tests/e2e/command_fixture.h"

namespace dunlin::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A faulty migration, and what must be said of it.
struct Faulty {
  std::string name;
  std::string create;
  std::string migration;
  std::string severity;
  std::string message;
  std::string advice;
};

constexpr const char* kItems =
    "CREATE TABLE items (id bigint PRIMARY KEY, a int, b int, n int NOT NULL DEFAULT 0, note text);"
    "INSERT INTO items (id, a, b) SELECT g, g % 10, g FROM generate_series(1, 20000) g;";

std::vector<Faulty> AllFaulty() {
  const std::string items = kItems;
  const std::string other = items +
                            "CREATE TABLE other (id bigint PRIMARY KEY, item bigint, v int); "
                            "CREATE INDEX ON other (item);"
                            "INSERT INTO other SELECT g, g, g FROM generate_series(1, 20000) g;";
  const auto update = [](const std::string& batch) {
    return "table: items\nbatch: |\n  " + batch + "\n";
  };
  return {
      {"the key may be NULL", items + "CREATE UNIQUE INDEX ON items (b)",
       "table: items\nkey: [b]\nbatch: UPDATE items SET n = 1 WHERE :batch\n", "error",
       "key column b may be NULL", "choose a NOT NULL key"},
      {"the key is generated",
       "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL, k int GENERATED ALWAYS AS (n + 1) "
       "STORED NOT NULL); INSERT INTO items (id, n) SELECT g, g FROM generate_series(1, 1000) g; "
       "CREATE INDEX ON items (k)",
       "table: items\nkey: [k]\nbatch: UPDATE items SET n = n + 1 WHERE :batch\n", "error",
       "key column k is generated", "choose a key that nothing changes"},
      {"the key has no index", items + "ALTER TABLE items ALTER b SET NOT NULL",
       "table: items\nkey: [b]\nbatch: UPDATE items SET n = 1 WHERE :batch\n", "error",
       "no index begins with the key", "CREATE INDEX CONCURRENTLY"},
      {"the key is changed", items, update("UPDATE items SET id = id + 100000 WHERE :batch"),
       "error", "change the key of rows", "choose another key"},
      {"an OR beside :batch", items,
       update("UPDATE items SET n = 1 WHERE a = 1 OR b = 2 AND :batch"), "error", "OR",
       "parentheses"},
      {"the batch reads the whole table", items,
       update("UPDATE items i SET n = 1 FROM items j WHERE j.b = i.b AND :batch(j)"), "error",
       "its plan reads the whole of public.items", ":batch at the top"},
      {"a copy from another table without a lock", other,
       update("UPDATE items i SET n = o.v FROM other o WHERE o.id = i.id AND :batch(i)"), "warning",
       "computes what it writes from rows of public.other", "lock: true"},
      {"an INSERT of own rows without a lock", other,
       update("INSERT INTO other SELECT i.id + 100000, i.id, i.n FROM items i WHERE :batch(i)"),
       "warning", "computes what it writes from rows of public.items", "lock: true"},
      {"a count without a lock", other,
       update("UPDATE items i SET n = (SELECT count(*) FROM other o WHERE o.item = i.id) WHERE "
              ":batch(i)"),
       "warning", "computes what it writes from rows of public.other", "lock: true"},
      {"a volatile function", items, update("UPDATE items SET b = random() * 10 WHERE :batch"),
       "warning", "random(), which is volatile", "parameters"},
      {"a foreign table",
       "CREATE EXTENSION IF NOT EXISTS postgres_fdw; CREATE SERVER IF NOT EXISTS far FOREIGN DATA "
       "WRAPPER postgres_fdw; CREATE FOREIGN TABLE items (id bigint NOT NULL, n int) SERVER far",
       "table: items\nkey: [id]\nbatch: UPDATE items SET n = 1 WHERE :batch\n", "error",
       "is a foreign table", ""},
      {"published without a replica identity",
       "CREATE TABLE items (id bigint NOT NULL, n int); CREATE UNIQUE INDEX ON items (id); INSERT "
       "INTO items SELECT g, 0 FROM generate_series(1, 1000) g; CREATE PUBLICATION p FOR TABLE "
       "items",
       "table: items\nkey: [id]\nbatch: UPDATE items SET n = 1 WHERE :batch\n", "error",
       "without a replica identity", "REPLICA IDENTITY"},
      {"a publication of all tables", items + "CREATE PUBLICATION p FOR ALL TABLES",
       update("UPDATE items SET n = 1 WHERE :batch"), "warning", "is FOR ALL TABLES",
       "dunlin ledger sql"},
      {"a foreign key without an index",
       items +
           "CREATE TABLE child (id int, item bigint REFERENCES items); INSERT INTO child SELECT "
           "g, 1 FROM generate_series(1, 50000) g; DELETE FROM items WHERE id BETWEEN 2 AND 3; "
           "ANALYZE child",
       update("DELETE FROM items WHERE a = 5 AND :batch"), "error", "has no index on child (item)",
       "CREATE INDEX CONCURRENTLY ON child (item)"},
      {"many indexes on what changes",
       items + "CREATE INDEX ON items (n); CREATE INDEX ON items (n, a); CREATE INDEX ON items "
               "((n + 1)); ANALYZE items",
       update("UPDATE items SET n = n + 1 WHERE :batch"), "warning", "were not HOT",
       "create these indexes after the run"},
      {"rows in random order",
       "CREATE TABLE items (id uuid PRIMARY KEY, n int, note text); INSERT INTO items SELECT "
       "md5(g::text)::uuid, 0, repeat('x', 300) FROM generate_series(1, 20000) g; ANALYZE items",
       update("UPDATE items SET n = 1 WHERE :batch"), "warning",
       "in another order than that of the key", "choose a key that follows"},
      {"a broken promise of idempotence", items,
       update("UPDATE items SET n = n + 1 WHERE :batch") + "idempotent: true\n", "error",
       "a second run changes rows again", "take the line out"},
      {"too slow for its transaction", other,
       update("UPDATE items SET n = 1 WHERE pg_sleep(0.02) IS NOT NULL AND :batch"), "warning",
       "are not done within 800ms", "EXPLAIN"},
      {"rows that fail", items + "ALTER TABLE items ADD CHECK (n < 1)",
       update("UPDATE items SET n = 1 WHERE :batch"), "warning", "23514", "mend the rows"},
      {"it writes rows that need no change", items,
       update("UPDATE items SET note = note WHERE :batch"), "warning", "changes nothing in them",
       "IS DISTINCT FROM"},
      {"verify looks at everything at once",
       items + "ANALYZE items; UPDATE pg_class SET reltuples = 5e6 WHERE relname = 'items'",
       update("UPDATE items SET n = 1 WHERE :batch") +
           "verify: SELECT count(*) FROM items WHERE n <> 1\n",
       "warning", "rows in one statement", ":batch"},
      {"an unknown column", items, update("UPDATE items SET nn = 1 WHERE :batch"), "error",
       "\"nn\"", ""},
  };
}

class CheckTest : public CommandTest {
 protected:
  CheckTest() : CommandTest({"wal_level=logical", "shared_buffers=4MB"}) {}

  json Check(const std::string& database, const std::string& migration,
             const std::vector<std::string>& more = {}) {
    const std::string path = Write("20261123120000_x.yaml", migration);
    std::vector<std::string> arguments = {"check", path,         "-o",
                                          "json",  "--database", server_.Dsn(database)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const RunResult checked = Dunlin(arguments);
    const json report = json::parse(checked.output, nullptr, false);
    EXPECT_TRUE(report.is_object()) << checked.output;
    if (report.is_object()) {
      EXPECT_EQ(checked.exit_code, report["ok"] == true ? 0 : 1) << checked.output;
    }
    return report;
  }
  // Everything that a check could leave: rows, relations, schemas.
  std::string Contents(const std::string& database) {
    return server_.Text(
        database,
        "SELECT coalesce(string_agg(c.oid::regclass::text || ' ' || CASE WHEN c.relkind = 'r' THEN "
        "(xpath('/row/h/text()', query_to_xml(format('SELECT md5(coalesce(string_agg(t::text, "
        "'','' "
        "ORDER BY t::text), '''')) AS h FROM %s t', c.oid::regclass), false, true, "
        "'')))[1]::text ELSE '' END, E'\\n' ORDER BY c.oid), '') FROM pg_class c WHERE "
        "c.relnamespace "
        "NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, "
        "'pg_toast'::regnamespace) AND c.relkind IN ('r', 'S', 'v', 'i')");
  }
};

std::string Important(const json& report) {
  std::vector<std::string> lines;
  for (const json& finding : report["findings"]) {
    if (finding["severity"] != "note") lines.push_back(finding.dump());
  }
  return absl::StrJoin(lines, "\n");
}

TEST_F(CheckTest, EachFaultyMigrationIsFoundAndExplained) {
  int number = 0;
  for (const Faulty& faulty : AllFaulty()) {
    SCOPED_TRACE(faulty.name);
    const std::string database = absl::StrCat("faulty", ++number);
    server_.CreateDatabase(database);
    server_.Exec(database, "SET allow_system_table_mods = on; " + faulty.create);
    const std::string before = Contents(database);
    const json report = Check(database, "description: d\n" + faulty.migration);
    bool found = false;
    for (const json& finding : report["findings"]) {
      const bool this_one =
          finding["severity"] == faulty.severity &&
          absl::StrContains(finding["message"].get<std::string>(), faulty.message);
      if (!this_one) continue;
      found = true;
      EXPECT_THAT(finding["advice"].get<std::string>(), HasSubstr(faulty.advice));
      if (!faulty.advice.empty()) {
        EXPECT_THAT(finding["why"].get<std::string>(), Not(IsEmpty()));
      }
    }
    EXPECT_TRUE(found) << report.dump(1);
    EXPECT_EQ(report["ok"], faulty.severity != "error");
    EXPECT_EQ(Contents(database), before);
    server_.DropDatabase(database);
  }
}

TEST_F(CheckTest, SoundMigrationsGetNothingImportant) {
  int sound = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DUNLIN_CASES_DIR)) {
    SCOPED_TRACE(entry.path().filename().string());
    const std::string database = absl::StrCat("sound", ++sound);
    server_.CreateDatabase(database);
    server_.Exec(database, ReadAll(entry.path() / "create.sql"));
    const std::string before = Contents(database);
    const json report = Check(database, ReadAll(entry.path() / "migration.yaml"));
    EXPECT_THAT(Important(report), IsEmpty());
    EXPECT_EQ(Contents(database), before);
    server_.DropDatabase(database);
  }
  for (const std::string kind : {"backfill", "copy", "delete", "insert", "normalise", "counter"}) {
    SCOPED_TRACE(kind);
    const std::string database = absl::StrCat("sound", ++sound);
    server_.CreateDatabase(database);
    server_.Exec(
        database,
        "CREATE TABLE things (id bigint PRIMARY KEY, old_column text, new_column text, kind text, "
        "kind_id bigint, children_count bigint, created_at timestamptz NOT NULL DEFAULT "
        "'2019-01-01'); CREATE TABLE things_copy (id bigint PRIMARY KEY, old_column text);"
        "CREATE TABLE things_details (parent_id bigint PRIMARY KEY, note text);"
        "CREATE TABLE things_kinds (id bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, name "
        "text UNIQUE); CREATE TABLE things_children (id bigint PRIMARY KEY, parent_id bigint);"
        "CREATE INDEX ON things_children (parent_id);"
        "INSERT INTO things (id, old_column, kind) SELECT g, 'x' || g, 'k' || g % 9 FROM "
        "generate_series(1, 5000) g; INSERT INTO things_children SELECT g, g % 5000 + 1 FROM "
        "generate_series(1, 9000) g");
    const RunResult made = Dunlin({"new", "a_" + kind, "--kind", kind, "--table", "things", "--dir",
                                   folder_ + "/" + kind, "-o", "json"});
    ASSERT_EQ(made.exit_code, 0) << made.output;
    const json report =
        Check(database, ReadAll(json::parse(made.output)["files"][0].get<std::string>()));
    EXPECT_THAT(Important(report), IsEmpty());
    EXPECT_EQ(report["trials"][0]["second_run"], kind == "copy" ? "unknown" : "nothing")
        << report.dump(1);
  }
  EXPECT_GE(sound, 24);
}

TEST_F(CheckTest, WhatABatchDoesIsShownAndEstimatedOnTheTerminalOnly) {
  server_.Exec(
      "app",
      "CREATE TABLE items (id bigint PRIMARY KEY, a int, note text); INSERT INTO items SELECT "
      "g, 1, 'secret-' || g FROM generate_series(1, 50000) g; ANALYZE items");
  const std::string migration =
      "description: d\ntable: items\nwhere: a = 1\nbatch: UPDATE items SET a = 2, note = NULL "
      "WHERE a "
      "= 1 AND :batch\n";
  const json report = Check("app", migration, {"--show-rows"});
  const json trial = report["trials"][0];
  EXPECT_EQ(trial["rows_changed"], 100);
  EXPECT_EQ(trial["second_run"], "nothing");
  EXPECT_EQ(trial["changes"].size(), 5u);
  EXPECT_EQ(trial["changes"][0]["before"]["a"], "1");
  EXPECT_EQ(trial["changes"][0]["after"]["a"], "2");
  EXPECT_EQ(trial["effects"][0].get<std::string>().substr(0, 25), "public.items: 100 updated");
  const json estimate = trial["estimate"];
  EXPECT_NEAR(estimate["rows"].get<double>(), 50000, 15000);
  EXPECT_GT(estimate["batch_rows"], 100);
  EXPECT_GT(estimate["wal_bytes"], 50000 * 50);
  EXPECT_GT(estimate["dead_bytes"], 50000 * 20);
  EXPECT_GT(estimate["before_image_bytes"], 50000 * 80);
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE a = 1"), 50000);

  // A pipeline's log is no terminal of the one who asks.
  EXPECT_FALSE(Check("app", migration)["trials"][0].contains("changes"));
  const RunResult text = OnDatabase({"check", folder_ + "/20261123120000_x.yaml"});
  EXPECT_THAT(text.output, AllOf(Not(HasSubstr("secret-")), HasSubstr("--show-rows"),
                                 HasSubstr("run a second time it changed nothing more"),
                                 HasSubstr("All of it: about")));
}

TEST_F(CheckTest, ParametersComeWithSet) {
  server_.Exec("app", kItems);
  const std::string migration =
      "description: d\ntable: items\nparameters: {plus: integer}\nbatch: UPDATE items SET n = n + "
      ":plus WHERE :batch\n";
  const json without = Check("app", migration);
  EXPECT_THAT(without["trials"], IsEmpty());
  EXPECT_THAT(without["findings"].dump(), HasSubstr("--set plus=VALUE"));
  const json with = Check("app", migration, {"--set", "plus=5", "--show-rows"});
  EXPECT_EQ(with["trials"][0]["changes"][0]["after"]["n"], "5");
}

TEST_F(CheckTest, MissingGrantsAndHiddenRowsAreFound) {
  server_.Exec("app",
               std::string(kItems) +
                   "CREATE ROLE poor LOGIN; GRANT SELECT ON items TO poor; CREATE TABLE secrets "
                   "(id bigint PRIMARY KEY, n int); INSERT INTO secrets VALUES (1, 1); ALTER "
                   "TABLE secrets ENABLE ROW LEVEL SECURITY; GRANT ALL ON secrets TO poor");
  const std::string as_poor = "postgresql://poor@" + server_.Dsn("app").substr(22);
  const std::string path =
      Write("20261123120000_x.yaml",
            "description: d\ntable: items\nbatch: UPDATE items SET n = 1 WHERE "
            ":batch\n");
  const RunResult denied = Dunlin({"check", path, "--database", as_poor});
  EXPECT_EQ(denied.exit_code, 1);
  EXPECT_THAT(denied.output, AllOf(HasSubstr("permission denied for table items"),
                                   HasSubstr("GRANT"), HasSubstr("dunlin ledger sql --role poor")));
  Write("20261123120000_x.yaml",
        "description: d\ntable: secrets\nbatch: UPDATE secrets SET n = 1 WHERE :batch\n");
  const RunResult hidden = Dunlin({"check", path, "--database", as_poor});
  EXPECT_EQ(hidden.exit_code, 1);
  EXPECT_THAT(hidden.output,
              AllOf(HasSubstr("row-level security hides rows"), HasSubstr("BYPASSRLS")));
}

// I12: what is locked is waited for no longer than a batch would, and the application waits for the
// check no longer than for a batch.
TEST_F(CheckTest, I12_ACheckWaitsForNobodyAndHoldsNobodyUp) {
  server_.Exec("app", kItems);
  const std::string path =
      Write("20261123120000_x.yaml",
            "description: d\ntable: items\nbatch: UPDATE items SET n = 1 WHERE "
            "pg_sleep(5) IS NOT NULL AND :batch\n");
  auto application = server_.Connect("app");
  Process check({Binary("dunlin"), "check", path, "--database", server_.Dsn("app")});
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    return server_.Int("app",
                       "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                       "'dunlin/check' AND xact_start IS NOT NULL AND query LIKE '%pg_sleep%'") > 0;
  }));
  ASSERT_EQ(check.Wait(absl::Seconds(30)), 1) << check.Output();
  EXPECT_THAT(check.Output(), HasSubstr("rows within 800ms"));

  ASSERT_TRUE(application->Query("BEGIN").ok());
  ASSERT_TRUE(application->Query("UPDATE items SET n = 9 WHERE id = 50").ok());
  Write("20261123120000_x.yaml",
        "description: d\ntable: items\nbatch: UPDATE items SET n = 1 WHERE :batch\n");
  const RunResult waited = OnDatabase({"check", path});
  EXPECT_EQ(waited.exit_code, 0) << waited.output;
  EXPECT_THAT(waited.output, HasSubstr("another session has these rows locked"));
  EXPECT_TRUE(application->Query("COMMIT").ok());
}

}  // namespace
}  // namespace dunlin::testing
