// Tasks on a real server: preflight, barrier, plan, verify, finalize, reconcile.
#include <thread>

#include "absl/strings/str_cat.h"

#include "tests/agent/agent_fixture.h"

namespace dunlin::agent {
namespace {

using ::testing::HasSubstr;

class TaskTest : public AgentTest {
 protected:
  using AgentTest::AgentTest;
  void MakeAndPlan(const std::string& create, const std::string& more = "") {
    Exec(create);
    UseCountUp(more);
    shards_ = PlanRun();
  }
  // As finalize sees it, with every shard done.
  TaskResult FinalizeAll() {
    Exec("UPDATE dunlin.shard SET cursor = upper, done = true");
    return Task(TaskKind::kFinalize, 0, Int("SELECT count(*) FROM dunlin.shard"));
  }
  void ExpectMismatch(const std::string& what) {
    const TaskResult result = FinalizeAll();
    ASSERT_TRUE(std::holds_alternative<Problem>(result)) << "finalize took it: " << what;
    EXPECT_EQ(std::get<Problem>(result).kind, Problem::Kind::kLedgerMismatch) << what;
    EXPECT_EQ(Int("SELECT count(*) FROM dunlin.run WHERE outcome IS NOT NULL"), 0) << what;
  }
  // Waits until a planner knows who has a transaction open, and plans nothing while they do.
  bool TheBarrierHasLooked() {
    return testing::Eventually(absl::Seconds(20), [&] {
      return Int("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dunlin/%' "
                 "AND query LIKE '%virtualxid%' AND state = 'idle'") > 0;
    });
  }
  // Each row is in exactly one shard, by the key's own order.
  void ExpectEachRowInOneShard(const std::string& table, const std::string& columns,
                               const std::string& lower, const std::string& upper) {
    EXPECT_EQ(Int(absl::StrCat("SELECT count(*) FROM ", table, " t WHERE (SELECT count(*) FROM ",
                               "dunlin.shard s WHERE (s.lower IS NULL OR (", columns, ") > (",
                               lower, ")) AND (", columns, ") <= (", upper, ")) <> 1")),
              0);
  }
  std::vector<LedgerShard> shards_;
};

constexpr const char* kBigints =
    "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
    "SELECT g FROM generate_series(1, 150000) g; ANALYZE items";

TEST_F(TaskTest, APlanDoesWithoutTheSchemaThatAFailoverTook) {
  Exec(kBigints);
  UseCountUp();
  ASSERT_FALSE(std::holds_alternative<Problem>(Task(TaskKind::kPreflight)));
  Exec("DROP SCHEMA dunlin CASCADE");
  const TaskResult planned = Task(TaskKind::kPlan);
  ASSERT_TRUE(std::holds_alternative<PlanResult>(planned));
  EXPECT_EQ(std::get<PlanResult>(planned).shards.size(), Shards().size());
}

TEST_F(TaskTest, I2_FinalizeRefusesAGap) {
  MakeAndPlan(kBigints);
  ASSERT_GT(shards_.size(), 3u);
  Exec(
      "DELETE FROM dunlin.shard WHERE lower = (SELECT lower FROM dunlin.shard WHERE lower IS NOT "
      "NULL ORDER BY lower[1]::bigint LIMIT 1)");
  ExpectMismatch("a shard is missing in the middle");
}

TEST_F(TaskTest, I2_FinalizeRefusesAMissingBeginning) {
  MakeAndPlan(kBigints);
  Exec("DELETE FROM dunlin.shard WHERE lower IS NULL");
  ExpectMismatch("no shard begins the chain");
}

TEST_F(TaskTest, I2_FinalizeRefusesAMissingEnd) {
  MakeAndPlan(kBigints);
  Exec("UPDATE dunlin.shard SET cursor = upper, done = true");
  const int64_t known = Int("SELECT count(*) FROM dunlin.shard");
  Exec(
      "DELETE FROM dunlin.shard WHERE upper = (SELECT upper FROM dunlin.shard ORDER BY "
      "upper[1]::bigint DESC LIMIT 1)");
  const TaskResult result = Task(TaskKind::kFinalize, 0, known);
  ASSERT_TRUE(std::holds_alternative<Problem>(result));
  EXPECT_EQ(std::get<Problem>(result).kind, Problem::Kind::kLedgerMismatch);
}

TEST_F(TaskTest, I2_FinalizeRefusesAnOverlap) {
  MakeAndPlan(kBigints);
  Exec(
      "UPDATE dunlin.shard SET lower = array[(lower[1]::bigint - 5)::text] WHERE id = (SELECT id "
      "FROM dunlin.shard WHERE lower IS NOT NULL ORDER BY lower[1]::bigint LIMIT 1)");
  ExpectMismatch("two shards overlap");
}

TEST_F(TaskTest, I2_FinalizeRefusesABoundThatIsRightOnlyAsText) {
  MakeAndPlan(kBigints);
  // A chain up to '9', with '10' < '9' as it is as text.
  Exec(
      "DELETE FROM dunlin.shard; INSERT INTO dunlin.shard (id, run, step, relation, lower, upper) "
      "SELECT gen_random_uuid(), r.id, 0, 'public.items', l, u FROM dunlin.run r, (VALUES "
      "(NULL::text[], '{10}'::text[]), ('{10}', '{9}')) v(l, u)");
  ExpectMismatch("lower > upper");
}

TEST_F(TaskTest, I2_FinalizeRefusesAShardWhoseBoundsAreEqual) {
  MakeAndPlan(kBigints);
  Exec(
      "DELETE FROM dunlin.shard; INSERT INTO dunlin.shard (id, run, step, relation, lower, upper) "
      "SELECT gen_random_uuid(), r.id, 0, 'public.items', l, u FROM dunlin.run r, (VALUES "
      "(NULL::text[], '{10}'::text[]), ('{10}', '{10}'), ('{10}', '{150000}')) v(l, u)");
  ExpectMismatch("lower = upper");
}

TEST_F(TaskTest, I2_BoundsAreComparedAsValuesNotAsText) {
  Exec(
      "CREATE TABLE items (id numeric PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
      "SELECT g FROM generate_series(1, 20) g");
  UseCountUp();
  PlanRun();
  Exec(
      "DELETE FROM dunlin.shard; INSERT INTO dunlin.shard (id, run, step, relation, lower, upper) "
      "SELECT gen_random_uuid(), r.id, 0, 'public.items', l, u FROM dunlin.run r, (VALUES "
      "(NULL::text[], '{9.0}'::text[]), ('{9.00}', '{20}')) v(l, u)");
  EXPECT_TRUE(std::holds_alternative<FinalizeResult>(FinalizeAll()));
}

// As casts, `character` and `bit` mean one character and one bit.
TEST_F(TaskTest, I2_BoundsOfFixedLengthTypesAreComparedWhole) {
  for (const char* key : {"char(12)", "bit(8)"}) {
    SCOPED_TRACE(key);
    const bool bits = absl::string_view(key) == "bit(8)";
    Exec("DROP TABLE IF EXISTS items; DROP SCHEMA IF EXISTS dunlin CASCADE");
    Exec(absl::StrCat("CREATE TABLE items (id ", key,
                      " PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items SELECT ",
                      bits ? "g::bit(8)" : "'x' || g", " FROM generate_series(100, 120) g"));
    UseCountUp();
    PlanRun();
    Exec(absl::StrCat(
        "DELETE FROM dunlin.shard; INSERT INTO dunlin.shard (id, run, step, relation, lower, "
        "upper) SELECT gen_random_uuid(), r.id, 0, 'public.items', l, u FROM dunlin.run r, ",
        bits ? "(VALUES (NULL::text[], '{01101000}'::text[]), ('{01101000}', '{01111000}')) v(l, u)"
             : "(VALUES (NULL::text[], '{x110}'::text[]), ('{x110}', '{x120}')) v(l, u)"));
    EXPECT_TRUE(std::holds_alternative<FinalizeResult>(FinalizeAll()));
  }
}

TEST_F(TaskTest, I2_FinalizeRefusesACycleBesideTheChain) {
  MakeAndPlan(kBigints);
  Exec(
      "INSERT INTO dunlin.shard (id, run, step, relation, lower, upper) SELECT "
      "gen_random_uuid(), r.id, 0, 'public.items', l, u FROM dunlin.run r, (VALUES "
      "('{7}'::text[], '{8}'::text[]), ('{8}', '{7}')) v(l, u)");
  ExpectMismatch("shards that the walk does not meet");
}

TEST_F(TaskTest, I2_FinalizeTakesWhatCoversAndOnlyWhenAllIsDone) {
  MakeAndPlan(kBigints);
  Exec("UPDATE dunlin.shard SET cursor = upper, done = true WHERE lower IS NOT NULL");
  const TaskResult early = Task(TaskKind::kFinalize, 0, static_cast<int64_t>(shards_.size()));
  ASSERT_TRUE(std::holds_alternative<Problem>(early));
  const TaskResult other = Task(TaskKind::kFinalize, 0, static_cast<int64_t>(shards_.size()) + 1);
  ASSERT_TRUE(std::holds_alternative<Problem>(other));
  const TaskResult late = FinalizeAll();
  ASSERT_TRUE(std::holds_alternative<FinalizeResult>(late));
  EXPECT_TRUE(std::get<FinalizeResult>(late).finished);
  EXPECT_EQ(Text("SELECT outcome FROM dunlin.run"), "finished");
}

TEST_F(TaskTest, I6_FinalizeDoesNotTellOfAFinishThatTheLedgerDidNotTake) {
  MakeAndPlan(kBigints);
  Exec("UPDATE dunlin.run SET outcome = 'superseded'");
  const TaskResult result = FinalizeAll();
  ASSERT_TRUE(std::holds_alternative<Problem>(result));
  EXPECT_EQ(std::get<Problem>(result).kind, Problem::Kind::kLedgerMismatch);
  EXPECT_EQ(Text("SELECT outcome FROM dunlin.run"), "superseded");
}

TEST_F(TaskTest, I2_TheOldPlansTaskEpochIsFencedOff) {
  Exec(kBigints);
  UseCountUp();
  task_epoch_ = 10;
  shards_ = PlanRun();
  Exec("UPDATE dunlin.shard SET cursor = upper, done = true");
  task_epoch_ = 3;  // a zombie
  const TaskResult zombie = Task(TaskKind::kFinalize, 0, static_cast<int64_t>(shards_.size()));
  EXPECT_FALSE(std::holds_alternative<FinalizeResult>(zombie));
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.run WHERE outcome IS NOT NULL"), 0);
}

TEST_F(TaskTest, I2_APlanThatRunsTwiceInsertsOnce) {
  MakeAndPlan(kBigints);
  const TaskResult again = Task(TaskKind::kPlan);
  ASSERT_TRUE(std::holds_alternative<PlanResult>(again));
  EXPECT_EQ(std::get<PlanResult>(again).shards.size(), shards_.size());
  EXPECT_EQ(Shards().size(), shards_.size());
}

TEST_F(TaskTest, Trap08_APlanCoversEverythingAlsoWithoutStatisticsAndWithStaleOnes) {
  // Statistics of ten rows, then a hundred thousand elsewhere; keys with holes and negative ones.
  Exec(
      "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0) WITH "
      "(autovacuum_enabled = off); INSERT INTO items SELECT g FROM generate_series(1, 10) g; "
      "ANALYZE items; INSERT INTO items SELECT g * 7919 - 400000000 FROM generate_series(1, "
      "100000) g");
  UseCountUp();
  PlanRun();
  ExpectEachRowInOneShard("items", "t.id", "s.lower[1]::bigint", "s.upper[1]::bigint");
}

TEST_F(TaskTest, Trap09_TheLastShardEndsAtTheLargestKeyAfterTheBarrier) {
  Exec(
      "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
      "SELECT g FROM generate_series(1, 1000) g");
  UseCountUp();
  ASSERT_FALSE(std::holds_alternative<Problem>(Task(TaskKind::kPreflight)));
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("BEGIN").ok());
  ASSERT_TRUE(application->Query("INSERT INTO items VALUES (5000)").ok());
  TaskResult planned;
  std::jthread planning([&] { planned = Task(TaskKind::kPlan); });
  ASSERT_TRUE(TheBarrierHasLooked());
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.shard"), 0);
  ASSERT_TRUE(application->Query("COMMIT").ok());
  planning.join();
  ASSERT_TRUE(std::holds_alternative<PlanResult>(planned));
  EXPECT_EQ(Text("SELECT max(upper[1]::bigint)::text FROM dunlin.shard"), "5000");
}

class PreparedTest : public TaskTest {
 protected:
  PreparedTest() : TaskTest({"max_prepared_transactions=2"}) {}
};

TEST_F(PreparedTest, Trap09_ATransactionThatIsPreparedMeanwhileIsWaitedForStill) {
  Exec("CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0)");
  UseCountUp("limits: {barrier_timeout: 2s}\n");
  ASSERT_FALSE(std::holds_alternative<Problem>(Task(TaskKind::kPreflight)));
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("BEGIN").ok());
  ASSERT_TRUE(application->Query("INSERT INTO items VALUES (5000)").ok());
  TaskResult planned;
  std::jthread planning([&] { planned = Task(TaskKind::kPlan); });
  ASSERT_TRUE(TheBarrierHasLooked());
  ASSERT_TRUE(application->Query("PREPARE TRANSACTION 'order 1'").ok());
  planning.join();
  ASSERT_TRUE(application->Query("ROLLBACK PREPARED 'order 1'").ok());
  ASSERT_TRUE(std::holds_alternative<Problem>(planned));
  EXPECT_THAT(std::get<Problem>(planned).message, HasSubstr("prepared transaction order 1"));
}

// A planner whose lease has ended commits while the next one waits at the barrier, having looked.
TEST_F(TaskTest, I2_APlanFindsTheOneThatWasCommittedWhileItWaited) {
  Exec(
      "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
      "SELECT g FROM generate_series(1, 1000) g");
  UseCountUp();
  ASSERT_FALSE(std::holds_alternative<Problem>(Task(TaskKind::kPreflight)));
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("BEGIN").ok());
  ASSERT_TRUE(application->Query("INSERT INTO items VALUES (5000)").ok());
  task_epoch_ = 10;
  TaskResult planned;
  std::jthread planning([&] { planned = Task(TaskKind::kPlan); });
  ASSERT_TRUE(TheBarrierHasLooked());
  Exec(absl::StrCat("BEGIN; SELECT dunlin.begin_plan('", run_.id.value(), "', '", run_.store_id,
                    "', 5, 0); INSERT INTO dunlin.shard (id, run, step, relation, upper, "
                    "collations, rows_total) VALUES (gen_random_uuid(), '",
                    run_.id.value(), "', 0, 'public.items', '{5000}', '', 1001); COMMIT"));
  ASSERT_TRUE(application->Query("COMMIT").ok());
  planning.join();
  ASSERT_TRUE(std::holds_alternative<PlanResult>(planned));
  EXPECT_EQ(Shards().size(), 1u);
}

TEST_F(TaskTest, VerifyCountsEveryPartOfALargeShard) {
  MakeAndPlan(kBigints, "verify: SELECT count(*) FROM items WHERE n <> 1 AND :batch\n");
  Exec("UPDATE items SET n = 1 WHERE id <> 7");
  TaskWork task = MakeTask(TaskKind::kVerify);
  task.shard = ShardWork{.relation = "public.items", .upper = KeyText({"150000"})};
  const TaskResult verified = RunTaskWork(task);
  ASSERT_TRUE(std::holds_alternative<VerifyResult>(verified));
  EXPECT_EQ(std::get<VerifyResult>(verified).found, 1);
}

TEST_F(TaskTest, TheBarrierNamesWhoItWaitsForAndGivesUpAtItsTimeout) {
  Exec("CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0)");
  UseCountUp("limits: {barrier_timeout: 300ms}\n");
  ASSERT_FALSE(std::holds_alternative<Problem>(Task(TaskKind::kPreflight)));
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("BEGIN").ok());
  ASSERT_TRUE(application->Query("SELECT count(*) FROM items").ok());
  const TaskResult planned = Task(TaskKind::kPlan);
  ASSERT_TRUE(std::holds_alternative<Problem>(planned));
  EXPECT_EQ(std::get<Problem>(planned).kind, Problem::Kind::kPause);
  EXPECT_THAT(std::get<Problem>(planned).message,
              HasSubstr(absl::StrCat("pid ", application->backend_pid())));
}

TEST_F(TaskTest, AnEmptyTableHasNoShardsAndIsComplete) {
  MakeAndPlan("CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0)");
  EXPECT_TRUE(shards_.empty());
  EXPECT_TRUE(std::holds_alternative<FinalizeResult>(FinalizeAll()));
}

struct Layout {
  const char* name;
  const char* create;
  const char* columns;
  const char* lower;
  const char* upper;
};

class PlanTest : public TaskTest, public ::testing::WithParamInterface<Layout> {};

// With fresh statistics no shard over 1.5 × the mean, whatever the key and the order of the heap.
TEST_P(PlanTest, I2_ShardsCoverEveryRowAndAreEven) {
  const Layout& layout = GetParam();
  Exec(layout.create);
  Exec("ANALYZE items");
  UseCountUp();
  const std::vector<LedgerShard> shards = PlanRun();
  ASSERT_GT(shards.size(), 2u);
  Exec(absl::StrCat(
      "CREATE TABLE found AS SELECT t.ctid AS row, s.id FROM items t JOIN dunlin.shard s ON "
      "(s.lower IS NULL OR (",
      layout.columns, ") > (", layout.lower, ")) AND (", layout.columns, ") <= (", layout.upper,
      ")"));
  const int64_t rows = Int("SELECT count(*) FROM items");
  EXPECT_EQ(Int("SELECT count(*) FROM found"), rows);
  EXPECT_EQ(Int("SELECT count(DISTINCT row) FROM found"), rows);
  const double mean = static_cast<double>(rows) / static_cast<double>(shards.size());
  const int64_t largest =
      Int("SELECT max(n) FROM (SELECT count(*) AS n FROM found GROUP BY id) sizes");
  EXPECT_LE(static_cast<double>(largest), 1.5 * mean) << "of " << shards.size() << " shards";
  EXPECT_TRUE(std::holds_alternative<FinalizeResult>(FinalizeAll()));
}

const Layout kLayouts[] = {
    {"skewed_integer",
     "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
     "SELECT CASE WHEN g % 10 = 0 THEN g::bigint * g * 1000 ELSE -g END FROM generate_series(1, "
     "110000) g",
     "t.id", "s.lower[1]::bigint", "s.upper[1]::bigint"},
    {"random_heap_order",
     "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
     "SELECT g FROM generate_series(1, 110000) g ORDER BY md5(g::text)",
     "t.id", "s.lower[1]::bigint", "s.upper[1]::bigint"},
    {"uuid",
     "CREATE TABLE items (id uuid PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items SELECT "
     "md5(g::text)::uuid FROM generate_series(1, 110000) g",
     "t.id", "s.lower[1]::uuid", "s.upper[1]::uuid"},
    {"numeric",
     "CREATE TABLE items (id numeric PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
     "SELECT (g * 1.000001)::numeric ^ 3 FROM generate_series(1, 110000) g",
     "t.id", "s.lower[1]::numeric", "s.upper[1]::numeric"},
    {"timestamptz",
     "CREATE TABLE items (id timestamptz PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
     "SELECT '2020-01-01'::timestamptz + g * interval '13.0007 seconds' FROM generate_series(1, "
     "110000) g",
     "t.id", "s.lower[1]::timestamptz", "s.upper[1]::timestamptz"},
    {"icu_text",
     "CREATE TABLE items (id text COLLATE \"en-x-icu\" PRIMARY KEY, n int NOT NULL DEFAULT 0); "
     "INSERT INTO items SELECT CASE g % 4 WHEN 0 THEN 'a' WHEN 1 THEN 'B' WHEN 2 THEN 'ä''\\' ELSE "
     "'\"Z' END || md5(g::text) FROM generate_series(1, 110000) g",
     "t.id", "s.lower[1]", "s.upper[1]"},
    {"composite",
     "CREATE TABLE items (a text, b uuid, n int NOT NULL DEFAULT 0, PRIMARY KEY (a, b)); INSERT "
     "INTO items SELECT 'tenant ' || (random() ^ 4 * 9)::int, md5(g::text)::uuid FROM "
     "generate_series(1, 110000) g",
     "t.a, t.b", "s.lower[1], s.lower[2]::uuid", "s.upper[1], s.upper[2]::uuid"},
};
INSTANTIATE_TEST_SUITE_P(Keys, PlanTest, ::testing::ValuesIn(kLayouts),
                         [](const auto& layout) { return std::string(layout.param.name); });

TEST_F(TaskTest, ReconcileReportsTheLedgerAsItIs) {
  MakeAndPlan(kBigints);
  const TaskResult result = Task(TaskKind::kReconcile);
  ASSERT_TRUE(std::holds_alternative<ReconcileResult>(result));
  const auto& report = std::get<ReconcileResult>(result);
  EXPECT_TRUE(report.run_known);
  EXPECT_FALSE(report.finished);
  EXPECT_EQ(report.shards.size(), shards_.size());
}

TEST_F(TaskTest, Trap22_VerifyCountsAndItsNumberIsNotRounded) {
  Exec(kBigints);
  UseCountUp("verify: SELECT count(*) FROM items WHERE n <> 1 AND :batch\n");
  const std::vector<LedgerShard> shards = PlanRun();
  Exec("UPDATE items SET n = 1 WHERE id <> 77777");
  int64_t found = 0;
  for (const LedgerShard& shard : shards) {
    const TaskWork task{.id = TaskId(MakeUuid()),
                        .kind = TaskKind::kVerify,
                        .task_epoch = Epoch(++task_epoch_),
                        .shard = ShardWork{.id = shard.id,
                                           .relation = shard.relation,
                                           .lower = shard.lower,
                                           .upper = shard.upper}};
    LeaseHandle handle(Lease{.id = LeaseId(MakeUuid()),
                             .run = run_,
                             .duration = absl::Minutes(5),
                             .limits = {},
                             .work = task},
                       SystemClock().Monotonic(), SystemClock());
    const TaskResult result = RunTask({.handle = handle,
                                       .run = run_,
                                       .task = std::get<TaskWork>(handle.lease().work),
                                       .definition = definition_,
                                       .sessions = *sessions_,
                                       .clock = SystemClock()});
    ASSERT_TRUE(std::holds_alternative<VerifyResult>(result));
    found += std::get<VerifyResult>(result).found;
  }
  EXPECT_EQ(found, 1);
}

// What `start` refuses is what cannot be right (trap 10, 12, 13); the rest is advice.
TEST_F(TaskTest, Trap10_ANullableKeyIsRefused) {
  Exec("CREATE TABLE items (id bigint UNIQUE, n int)");
  UseCountUp("key: [id]\n");
  const TaskResult refused = Task(TaskKind::kPreflight);
  ASSERT_TRUE(std::holds_alternative<Problem>(refused));
  EXPECT_EQ(std::get<Problem>(refused).kind, Problem::Kind::kDefinition);
  EXPECT_THAT(std::get<Problem>(refused).message, HasSubstr("NOT NULL"));
}

TEST_F(TaskTest, Trap13_RowLevelSecurityThatHidesRowsIsRefusedNotObeyed) {
  Exec(
      "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
      "SELECT g FROM generate_series(1, 100) g; ALTER TABLE items ENABLE ROW LEVEL SECURITY; "
      "CREATE POLICY odd ON items USING (id % 2 = 1); CREATE ROLE plain LOGIN; GRANT ALL ON "
      "items TO plain; GRANT CREATE ON DATABASE app TO plain");
  sessions_ =
      std::make_unique<SessionFactory>(Secret(absl::StrCat(server_.Dsn("app"), "?user=plain")));
  UseCountUp();
  const TaskResult refused = Task(TaskKind::kPreflight);
  ASSERT_TRUE(std::holds_alternative<Problem>(refused)) << "half of the rows would be left out";
  EXPECT_EQ(RowsNot(0), 0);
}

}  // namespace
}  // namespace dunlin::agent
