// dunlin.require(), as a schema migration calls it.
#include "absl/strings/str_cat.h"

#include "common/pg/error.h"
#include "tests/agent/agent_fixture.h"

namespace dunlin::agent {
namespace {

using ::testing::HasSubstr;

constexpr const char* kName = "20261123120000_count";

class RequireTest : public AgentTest {
 protected:
  RequireTest() {
    MakeItems(100);
    UseCountUp("soak: 1d\n");
  }
  // "" = it holds; else the SQLSTATE.
  std::string Require(const std::string& arguments, const std::string& role = "") {
    const auto connection = server_.Connect("app");
    if (!role.empty()) {
      EXPECT_TRUE(connection->Query("SET ROLE " + role).ok());
    }
    return pg::SqlStateOf(
        connection->Query(absl::StrCat("SELECT dunlin.require(", arguments, ")")).status());
  }
  // What it says, as a warning.
  std::string Says(const std::string& arguments = absl::StrCat("'", kName, "'")) {
    const auto connection = server_.Connect("app");
    EXPECT_TRUE(connection->Query("SET dunlin.guard = 'warn'").ok());
    const auto said = connection->Query(absl::StrCat("SELECT dunlin.require(", arguments, ")"));
    EXPECT_TRUE(said.ok()) << said.status();
    return said.ok() ? said->Text(0, 0) : "";
  }
  void Finish() {
    PlanRun();
    Exec("UPDATE dunlin.shard SET cursor = upper, done = true");
    ASSERT_TRUE(std::holds_alternative<FinalizeResult>(
        Task(TaskKind::kFinalize, 0, Int("SELECT count(*) FROM dunlin.shard"))));
  }
};

TEST_F(RequireTest, HoldsOnlyWhenFinishedAndSoaked) {
  Task(TaskKind::kPreflight);
  EXPECT_EQ(Require(absl::StrCat("'", kName, "'")), "DN005");
  EXPECT_THAT(Says(), HasSubstr(absl::StrCat("data migration ", kName,
                                             " was never run on database app; run it first: "
                                             "dunlin up")));
  PlanRun();
  EXPECT_EQ(Require(absl::StrCat("'", kName, "'")), "DN005");
  EXPECT_THAT(Says(), HasSubstr("is not finished on database app (0 of about 100 rows)"));
  Finish();
  EXPECT_EQ(Require(absl::StrCat("'", kName, "'")), "DN005") << "the file asks for a day";
  EXPECT_THAT(Says(), HasSubstr("has to soak for 1 day, until "));
  EXPECT_EQ(Require(absl::StrCat("'", kName, "', soak => interval '0'")), "");
  EXPECT_EQ(Require("'20261123120000', soak => interval '0'"), "") << "its version will do";
  Exec("UPDATE dunlin.run SET finished_at = now() - interval '25 hours'");
  EXPECT_EQ(Require(absl::StrCat("'", kName, "'")), "");
  EXPECT_EQ(Require(absl::StrCat("'", kName, "', interval '7 days'")), "DN005");
  Exec("UPDATE dunlin.run SET outcome = 'undone'");
  EXPECT_EQ(Require(absl::StrCat("'", kName, "'")), "DN005");
  EXPECT_THAT(Says(), HasSubstr(absl::StrCat("dunlin redo ", kName)));
}

TEST_F(RequireTest, AnyRoleMayCallItAndSeesNothingElse) {
  Finish();
  Exec("CREATE ROLE migrator");
  EXPECT_EQ(Require(absl::StrCat("'", kName, "', soak => '0'"), "migrator"), "");
  const auto connection = server_.Connect("app");
  ASSERT_TRUE(connection->Query("SET ROLE migrator").ok());
  for (const char* table : {"run", "shard", "stopped", "meta", "progress", "history"}) {
    EXPECT_EQ(
        pg::SqlStateOf(connection->Query(absl::StrCat("SELECT * FROM dunlin.", table)).status()),
        "42501")
        << table;
  }
  for (const char* dbas : {"SELECT dunlin.stop('x')", "SELECT dunlin.go()"})
    EXPECT_EQ(pg::SqlStateOf(connection->Query(dbas).status()), "42501") << dbas;
  // Its search_path is its own: a table of that name in front does not fool it.
  Exec(
      "CREATE SCHEMA evil; CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
      "AS $$ SELECT 'infinity'::timestamptz $$; GRANT USAGE ON SCHEMA evil TO migrator");
  ASSERT_TRUE(connection->Query("SET search_path = evil, pg_catalog").ok());
  EXPECT_EQ(pg::SqlStateOf(
                connection->Query(absl::StrCat("SELECT dunlin.require('", kName, "')")).status()),
            "DN005");
}

TEST_F(RequireTest, I3_AStandInCountsAndFencesOffWhatItSupersedes) {
  PlanRun();
  const RunSpec old_run = run_;
  const LedgerShard shard = Shards()[0];
  Claimed zombie = ClaimAndPrepare(shard, 1);
  ASSERT_EQ(zombie.problem.kind, Problem::Kind::kNone);

  const std::string better = "20261201000000_better";
  UseCountUp(absl::StrCat("supersedes: ", kName, "\n"));
  run_.migration = better;
  ASSERT_TRUE(std::holds_alternative<PlanResult>(Task(TaskKind::kPlan)));
  EXPECT_EQ(
      Text(absl::StrCat("SELECT outcome FROM dunlin.run WHERE id = '", old_run.id.value(), "'")),
      "superseded");
  zombie.RunBatch(10);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n <> 0"), 0) << "the zombie changed rows";
  EXPECT_THAT(Says(), HasSubstr(absl::StrCat("data migration ", better, " is not finished")));
  Exec(
      absl::StrCat("UPDATE dunlin.run SET outcome = 'finished', finished_at = now() - interval '9 "
                   "days' WHERE name = '",
                   better, "'"));
  EXPECT_EQ(Require(absl::StrCat("'", kName, "'")), "");
}

}  // namespace
}  // namespace dunlin::agent
