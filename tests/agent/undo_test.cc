// Before-images, and runs that put them back.
#include "common/migration/undo.h"

#include <thread>

#include "absl/strings/str_cat.h"

#include "tests/agent/agent_fixture.h"
#include "tests/testlib/process.h"

namespace dunlin::agent {
namespace {

using ::testing::HasSubstr;

class UndoTest : public AgentTest {
 protected:
  void UseItems(const std::string& columns, const std::string& batch, const std::string& undo,
                const std::string& more = "") {
    Exec(absl::StrCat("CREATE TABLE items (id bigint PRIMARY KEY, ", columns, ")"));
    UseFile(absl::StrCat("description: x\nsoak: 0s\ntable: items\nbatch: ", batch, "\nundo: ", undo,
                         "\n", more));
  }
  void WorkAll() {
    ++epoch_;
    for (const LedgerShard& shard : PlanRun()) {
      if (shard.done) continue;
      const ShardOutcome outcome = Work(shard, epoch_);
      ASSERT_TRUE(outcome.done) << outcome.problem.message;
    }
  }
  FinalizeResult Finish() {
    WorkAll();
    TaskWork task = MakeTask(TaskKind::kFinalize);
    task.finish = true;
    task.shards_known =
        Int(absl::StrCat("SELECT count(*) FROM dunlin.shard WHERE run = '", run_.id.value(), "'"));
    const TaskResult result = RunTaskWork(task);
    if (const auto* problem = std::get_if<Problem>(&result)) {
      ADD_FAILURE() << problem->message;
      return {};
    }
    EXPECT_TRUE(std::holds_alternative<FinalizeResult>(result));
    return std::get<FinalizeResult>(result);
  }
  // From here on tasks and shards are those of the undo.
  void BeginUndo() {
    definition_ = MakeUndo(definition_);
    run_.follows = run_.id;
    run_.id = RunId(MakeUuid());
    run_.kind = RunSpec::Kind::kUndo;
    task_epoch_ = 0;
  }
  int64_t Images() { return Int("SELECT count(*) FROM dunlin.before_image"); }
  std::string All(const std::string& columns) {
    return Text(
        absl::StrCat("SELECT md5(string_agg((", columns, ")::text, ';' ORDER BY id)) FROM items"));
  }
  int64_t epoch_ = 0;
};

TEST_F(UndoTest, PutsBackExactlyTheColumnsThatTheBatchHasChanged) {
  UseItems(
      "status text, at timestamptz, price numeric(10, 2), tags text[], note text",
      "UPDATE items SET status = lower(status), at = at + interval '1 day', price = price * 2, "
      "tags = tags || 'x'::text, note = 'seen' WHERE id % 2 = 0 AND :batch",
      "{keep: [status, at, price, tags]}");
  Exec(
      "INSERT INTO items SELECT g, CASE WHEN g % 5 = 0 THEN NULL ELSE 'A \"b\\ ' || g END, "
      "'2020-02-29 "
      "12:00+02'::timestamptz + g * interval '1 hour', CASE WHEN g % 7 <> 0 THEN g / 3.0 END, "
      "ARRAY[g::text, "
      "'', NULL, 'a,\"b'] FROM generate_series(1, 3000) g");
  const std::string before = All("id, status, at, price, tags");
  Finish();
  EXPECT_EQ(Images(), 1500) << "of the rows that it has changed, and no others";
  EXPECT_NE(All("id, status, at, price, tags"), before);
  BeginUndo();
  const FinalizeResult undone = Finish();
  EXPECT_EQ(All("id, status, at, price, tags"), before);
  EXPECT_EQ(undone.rows_left, 0);
  EXPECT_EQ(Images(), 0);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE note = 'seen'"), 1500) << "it was not kept";
  EXPECT_EQ(Text("SELECT string_agg(outcome, ' ' ORDER BY undoes NULLS FIRST) FROM dunlin.run"),
            "undone undone");
}

TEST_F(UndoTest, LeavesCountsAndListsWhatWasChangedSince) {
  UseItems("status text", "UPDATE items SET status = 'new' WHERE :batch", "{keep: [status]}");
  Exec("INSERT INTO items SELECT g, 'old' FROM generate_series(1, 1000) g");
  Finish();
  Exec(
      "UPDATE items SET status = 'app' WHERE id IN (17, 500); UPDATE items SET status = NULL WHERE "
      "id "
      "= 600; DELETE FROM items WHERE id = 700; INSERT INTO items VALUES (1001, 'app')");
  BeginUndo();
  const FinalizeResult undone = Finish();
  EXPECT_EQ(undone.rows_left, 4);
  EXPECT_THAT(undone.some_left,
              ::testing::UnorderedElementsAre("public.items (17)", "public.items (500)",
                                              "public.items (600)", "public.items (700)"));
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE status = 'old'"), 996);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE status = 'app'"), 3);
  EXPECT_EQ(Text("SELECT string_agg(key[1], ' ' ORDER BY key[1]) FROM dunlin.left_by_undo"),
            "17 500 600 700");
}

TEST_F(UndoTest, I1_EachBatchAndItsImagesAreKeptOrLostTogether) {
  UseItems("n int NOT NULL DEFAULT 0", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g FROM generate_series(1, 300) g");
  const LedgerShard shard = PlanOneShard();
  Claimed first = ClaimAndPrepare(shard, 1);
  ASSERT_TRUE(first.RunBatch(100).status.ok());
  EXPECT_EQ(Images(), 100);
  Claimed second = ClaimAndPrepare(shard, 2);
  EXPECT_FALSE(first.RunBatch(100).status.ok()) << "fenced off";
  EXPECT_EQ(Images(), 100);
  ASSERT_TRUE(second.RunBatch(100).status.ok());
  EXPECT_EQ(Images(), 200);
  // An undo of what came so far.
  BeginUndo();
  const FinalizeResult undone = Finish();
  EXPECT_EQ(RowsNot(0), 0);
  EXPECT_EQ(undone.rows_left, 0);
}

TEST_F(UndoTest, I3_ARunThatIsUndoneCommitsNoMore) {
  UseItems("n int NOT NULL DEFAULT 0", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g FROM generate_series(1, 300) g");
  Claimed zombie = ClaimAndPrepare(PlanOneShard(), 1);
  ASSERT_TRUE(zombie.RunBatch(100).status.ok());
  BeginUndo();
  Finish();
  EXPECT_FALSE(zombie.RunBatch(100).status.ok());
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(UndoTest, AKeyOfSeveralColumnsInAPartitionedTable) {
  Exec(
      "CREATE TABLE items (a text, id int, n int, PRIMARY KEY (a, id)) PARTITION BY LIST (a); "
      "CREATE "
      "TABLE items_x PARTITION OF items FOR VALUES IN ('x', 'y z'); CREATE TABLE items_d PARTITION "
      "OF "
      "items DEFAULT; INSERT INTO items SELECT (ARRAY['x', 'y z', 'q\"\\'])[1 + g % 3], g, g FROM "
      "generate_series(1, 900) g");
  for (const char* table : {"items", ":table"}) {
    SCOPED_TRACE(table);
    Exec("DROP SCHEMA IF EXISTS dunlin CASCADE");
    run_.id = RunId(MakeUuid());
    run_.kind = RunSpec::Kind::kApply;
    run_.follows = RunId();
    UseFile(absl::StrCat("description: x\ntable: items\nbatch: UPDATE ", table,
                         " t SET n = n + 1 WHERE :batch(t)\nundo: {keep: n}\n"));
    Finish();
    EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = id + 1"), 900);
    EXPECT_EQ(Images(), 900);
    BeginUndo();
    EXPECT_EQ(Finish().rows_left, 0);
    EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = id"), 900);
  }
}

TEST_F(UndoTest, StatementsByHandRunFromTheLastStepToTheFirst) {
  Exec(
      "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO items "
      "SELECT g "
      "FROM generate_series(1, 500) g; CREATE TABLE log (id serial, what text)");
  UseFile(
      "description: x\nsteps:\n"
      "  - table: items\n    batch: UPDATE items SET n = n + 1 WHERE :batch\n"
      "    undo: {batch: UPDATE items SET n = n - 1 WHERE :batch}\n"
      "  - once: INSERT INTO log (what) VALUES ('done')\n"
      "    undo:\n      once: INSERT INTO log (what) SELECT 'undone, n=' || max(n) FROM items\n");
  const auto work_step = [&](int step) {
    const TaskResult planned = Task(TaskKind::kPlan, step);
    ASSERT_TRUE(std::holds_alternative<PlanResult>(planned));
    for (const LedgerShard& shard : std::get<PlanResult>(planned).shards)
      ASSERT_TRUE(Work(shard, 1).done);
  };
  ASSERT_TRUE(std::holds_alternative<PreflightResult>(Task(TaskKind::kPreflight)));
  work_step(0);
  work_step(1);
  EXPECT_EQ(RowsNot(1), 0);
  BeginUndo();
  ASSERT_TRUE(std::holds_alternative<PreflightResult>(Task(TaskKind::kPreflight)));
  work_step(0);
  EXPECT_EQ(Text("SELECT string_agg(what, '; ' ORDER BY id) FROM log"), "done; undone, n=1");
  work_step(1);
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(UndoTest, WhatCannotBeKeptIsRefused) {
  Exec(
      "CREATE TABLE items (id bigint PRIMARY KEY, n int, m int GENERATED ALWAYS AS (n + 1) "
      "STORED); "
      "INSERT INTO items (id, n) SELECT g, g FROM generate_series(1, 10) g");
  const auto refused = [&](const std::string& rest) {
    UseFile(absl::StrCat(
        "description: x\ntable: items\nbatch: UPDATE items SET n = 1 WHERE :batch\n", rest));
    const TaskResult result = Task(TaskKind::kPreflight);
    const auto* problem = std::get_if<Problem>(&result);
    if (problem == nullptr) return std::string("taken");
    EXPECT_EQ(problem->kind, Problem::Kind::kDefinition);
    return problem->message;
  };
  EXPECT_THAT(refused("undo: {keep: nope}\n"),
              HasSubstr("has no column nope, which undo.keep names"));
  EXPECT_THAT(refused("undo: {keep: m}\n"), HasSubstr("is generated"));
  EXPECT_THAT(refused("undo: {keep: id}\n"), HasSubstr("is of the key"));
  Exec("CREATE INDEX ON items (n); UPDATE items SET n = 3; ALTER TABLE items ALTER n SET NOT NULL");
  EXPECT_THAT(refused("key: n\nundo: {keep: n}\n"), HasSubstr("needs a unique key"));
  EXPECT_EQ(refused("undo: {keep: n}\n"), "taken");
}

TEST_F(UndoTest, ABatchThatDeletesRowsFailsBeforeAnythingIsLost) {
  UseItems("n int", "DELETE FROM items WHERE id % 2 = 0 AND :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g, g FROM generate_series(1, 100) g");
  const ShardOutcome outcome = Work(PlanOneShard(), 1);
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(outcome.problem.kind, Problem::Kind::kDefinition);
  EXPECT_THAT(outcome.problem.message, HasSubstr("has deleted rows"));
  EXPECT_EQ(Int("SELECT count(*) FROM items"), 100);
}

// A row that comes into the range behind the locks, and that the batch then changes too.
TEST_F(UndoTest, ARowThatCameBehindTheLocksIsNotChangedWithoutAnImage) {
  UseItems("n int", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g * 2, 0 FROM generate_series(1, 100) g");
  const LedgerShard shard = PlanOneShard();
  const auto relation = OpenFor(shard, 1);
  Claimed claimed = ClaimAndPrepare(shard, 1);
  const StepDefinition& step = definition_.steps[0];
  const auto described = DescribeRelation(*relation, "public.items", step.key);
  ASSERT_TRUE(described.ok());
  const auto images = DescribeImages(*relation, run_, 0, step, *described);
  ASSERT_TRUE(images.ok());
  ASSERT_TRUE(relation->Query("BEGIN").ok());
  ASSERT_TRUE(relation->Query(RememberImagesSql(*images, *described, "id <= 200")).ok());
  Exec("INSERT INTO items VALUES (51, 0)");
  ASSERT_TRUE(relation->Query("UPDATE items SET n = n + 1 WHERE id <= 200").ok());
  const absl::Status kept = relation
                                ->Query(KeepImagesSql(*images, *described, "id <= 200", 1),
                                        {run_.id.value(), "0", "public.items"})
                                .status();
  EXPECT_EQ(pg::SqlStateOf(kept), "40001") << "tried again, it is locked too: " << kept;
}

TEST_F(UndoTest, ARowIsLockedFromItsImageToItsChange) {
  UseItems("n int", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g, 0 FROM generate_series(1, 100) g");
  const LedgerShard shard = PlanOneShard();
  const auto relation = OpenFor(shard, 1);
  const auto described = DescribeRelation(*relation, "public.items", definition_.steps[0].key);
  ASSERT_TRUE(described.ok());
  const auto images = DescribeImages(*relation, run_, 0, definition_.steps[0], *described);
  ASSERT_TRUE(images.ok());
  ASSERT_TRUE(relation->Query("BEGIN").ok());
  ASSERT_TRUE(relation->Query(RememberImagesSql(*images, *described, "id <= 50")).ok());
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("SET lock_timeout = '200ms'").ok());
  EXPECT_EQ(pg::SqlStateOf(application->Query("UPDATE items SET n = 7 WHERE id = 10").status()),
            "55P03");
  EXPECT_TRUE(application->Query("UPDATE items SET n = 7 WHERE id = 60").ok());
}

TEST_F(UndoTest, I3_NoEpochClaimsAShardOfARunThatWasTakenBack) {
  UseItems("n int NOT NULL DEFAULT 0", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g FROM generate_series(1, 300) g");
  const LedgerShard shard = PlanOneShard();
  ASSERT_TRUE(ClaimAndPrepare(shard, 1).RunBatch(100).status.ok());
  const RunSpec former = run_;
  const Definition applied = definition_;
  BeginUndo();
  Finish();
  run_ = former;
  definition_ = applied;
  const auto connection = OpenFor(shard, 1000);
  const auto claimed = Claim(*connection, shard, 1000);
  ASSERT_TRUE(claimed.ok()) << claimed.status();
  EXPECT_TRUE(std::holds_alternative<Problem>(*claimed));
}

// It was let through by the run as it was before it waited.
TEST_F(UndoTest, I3_AClaimThatWaitsForAnUndoToBeginIsRefused) {
  UseItems("n int NOT NULL DEFAULT 0", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g FROM generate_series(1, 300) g");
  const LedgerShard shard = PlanOneShard();
  const auto undo = server_.Connect("app");
  ASSERT_TRUE(undo->Query("BEGIN").ok());
  ASSERT_TRUE(undo->Query("UPDATE dunlin.run SET outcome = 'undone'").ok());
  ASSERT_TRUE(undo->Query("UPDATE dunlin.shard SET epoch = epoch + 1").ok());
  const auto connection = OpenFor(shard, 1000);
  const std::string blocking =
      absl::StrCat("SELECT cardinality(pg_blocking_pids(", connection->backend_pid(), "))");
  absl::StatusOr<std::variant<ClaimedShard, Problem>> claimed = absl::UnknownError("not yet");
  std::jthread claiming(
      [&] { claimed = Claim(*connection, shard, 1000, /*may_terminate=*/false); });
  ASSERT_TRUE(testing::Eventually(absl::Seconds(20), [&] { return Int(blocking) == 1; }));
  ASSERT_TRUE(undo->Query("COMMIT").ok());
  claiming.join();
  ASSERT_TRUE(claimed.ok()) << claimed.status();
  EXPECT_TRUE(std::holds_alternative<Problem>(*claimed));
}

TEST_F(UndoTest, I1_StatementsByHandLeaveOutWhatWasSetAside) {
  UseItems("n int NOT NULL DEFAULT 0", "UPDATE items SET n = n + 1 WHERE :batch",
           "{batch: UPDATE items SET n = n - 1 WHERE :batch}");
  Exec(
      "INSERT INTO items SELECT g FROM generate_series(1, 100) g; "
      "ALTER TABLE items ADD CONSTRAINT c CHECK (id NOT IN (1, 50, 51, 100) OR n = 0)");
  WorkAll();
  ASSERT_EQ(Int("SELECT count(*) FROM dunlin.quarantine"), 4);
  Exec("ALTER TABLE items DROP CONSTRAINT c");
  BeginUndo();
  Finish();
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(UndoTest, RowsThatWereSetAsideAndTriedAgainArePutBackToo) {
  UseItems("n int NOT NULL DEFAULT 0", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec(
      "INSERT INTO items SELECT g FROM generate_series(1, 100) g; "
      "ALTER TABLE items ADD CONSTRAINT c CHECK (id <> 50 OR n = 0)");
  WorkAll();
  EXPECT_EQ(Images(), 99);
  Exec("ALTER TABLE items DROP CONSTRAINT c");
  TaskWork retry = MakeTask(TaskKind::kQuarantine);
  retry.retry = true;
  ASSERT_TRUE(std::holds_alternative<QuarantineResult>(RunTaskWork(retry)));
  EXPECT_EQ(Images(), 100);
  BeginUndo();
  EXPECT_EQ(Finish().rows_left, 0);
  EXPECT_EQ(RowsNot(0), 0);
}

// As a store that was restored, or has adopted the target, reads it.
TEST_F(UndoTest, ARunThatWasTakenBackIsNotFinishedForWhoReadsItAgain) {
  UseItems("n int NOT NULL DEFAULT 0", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g FROM generate_series(1, 100) g");
  Finish();
  const RunSpec former = run_;
  const Definition applied = definition_;
  BeginUndo();
  Finish();
  run_ = former;
  definition_ = applied;
  task_epoch_ = 100;
  const TaskResult read = Task(TaskKind::kReconcile);
  ASSERT_TRUE(std::holds_alternative<ReconcileResult>(read));
  EXPECT_FALSE(std::get<ReconcileResult>(read).finished);
}

TEST_F(UndoTest, EachRunPutsBackItsOwnImages) {
  UseItems("n int NOT NULL DEFAULT 5, m int NOT NULL DEFAULT 0",
           "UPDATE items SET n = 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g FROM generate_series(1, 100) g");
  Finish();
  UseFile(
      "description: x\nsoak: 0s\ntable: items\nbatch: UPDATE items SET m = 2 WHERE :batch\nundo: "
      "{keep: [m]}\n");
  run_.id = RunId(MakeUuid());
  run_.migration = "20261124000000_other";
  task_epoch_ = 0;
  Finish();
  // What the first run has made of n is what the application now has in m.
  Exec("UPDATE items SET m = 1 WHERE id = 7");
  BeginUndo();
  EXPECT_EQ(Finish().rows_left, 1);
  EXPECT_EQ(Int("SELECT m FROM items WHERE id = 7"), 1);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE m = 0 AND n = 1"), 99);
}

TEST_F(UndoTest, ARowIsLockedBeforeItIsComparedWithItsImage) {
  UseItems("n int NOT NULL DEFAULT 0", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g FROM generate_series(1, 100) g");
  Finish();
  BeginUndo();
  const LedgerShard shard = PlanOneShard();
  Claimed claimed = ClaimAndPrepare(shard, 1);
  ASSERT_TRUE(claimed.connection->Query("BEGIN").ok());
  const BoundStatement& first = *claimed.sql->BatchStatements(std::nullopt, *shard.upper).front();
  const pg::Command command = claimed.sql->Bind(first, std::nullopt, shard.upper);
  ASSERT_TRUE(claimed.connection->Execute(command.statement, command.parameters).ok());
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("SET lock_timeout = '200ms'").ok());
  EXPECT_EQ(pg::SqlStateOf(application->Query("UPDATE items SET n = 7 WHERE id = 10").status()),
            "55P03");
  EXPECT_EQ(claimed.connection->Query("SELECT min(n) FROM items")->Int(0, 0), 1)
      << "nothing has been put back yet";
}

TEST_F(UndoTest, AOnceStepThatNeverRanIsNotTakenBack) {
  Exec(
      "CREATE TABLE items (id bigint PRIMARY KEY, n int DEFAULT 0); CREATE TABLE log (what text); "
      "INSERT INTO items SELECT g FROM generate_series(1, 10) g");
  UseFile(
      "description: x\nsteps:\n"
      "  - table: items\n    batch: UPDATE items SET n = n + 1 WHERE :batch\n"
      "    undo: {keep: [n]}\n"
      "  - once: INSERT INTO log VALUES ('done')\n"
      "    undo:\n      once: INSERT INTO log VALUES ('undone')\n");
  const auto plan_steps = [&](bool work_once) {
    ASSERT_TRUE(std::holds_alternative<PreflightResult>(Task(TaskKind::kPreflight)));
    for (const int step : {0, 1}) {
      const TaskResult planned = Task(TaskKind::kPlan, step);
      ASSERT_TRUE(std::holds_alternative<PlanResult>(planned));
      for (const LedgerShard& shard : std::get<PlanResult>(planned).shards) {
        if (work_once || !shard.relation.empty()) {
          ASSERT_TRUE(Work(shard, 1).done);
        }
      }
    }
  };
  plan_steps(false);
  BeginUndo();
  plan_steps(true);
  EXPECT_EQ(Int("SELECT count(*) FROM log"), 0);
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(UndoTest, EachStepPutsBackItsOwnImages) {
  Exec(
      "CREATE TABLE items (id bigint PRIMARY KEY, n int DEFAULT 0, m int DEFAULT 10); "
      "INSERT INTO items SELECT g FROM generate_series(1, 100) g");
  UseFile(
      "description: x\nsteps:\n"
      "  - table: items\n    batch: UPDATE items SET n = n + 1 WHERE :batch\n"
      "    undo: {keep: [n]}\n"
      "  - table: items\n    batch: UPDATE items SET m = m + 1 WHERE :batch\n"
      "    undo: {keep: [m]}\n");
  const auto work_steps = [&] {
    ASSERT_TRUE(std::holds_alternative<PreflightResult>(Task(TaskKind::kPreflight)));
    for (const int step : {0, 1}) {
      const TaskResult planned = Task(TaskKind::kPlan, step);
      ASSERT_TRUE(std::holds_alternative<PlanResult>(planned));
      for (const LedgerShard& shard : std::get<PlanResult>(planned).shards)
        ASSERT_TRUE(Work(shard, 1).done);
    }
  };
  work_steps();
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1 AND m = 11"), 100);
  BeginUndo();
  work_steps();
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 0 AND m = 10"), 100);
  EXPECT_EQ(Images(), 0);
}

TEST_F(UndoTest, ImagesAreNobodysButTheOwners) {
  UseItems("n int", "UPDATE items SET n = 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items VALUES (1, 0)");
  Finish();
  EXPECT_EQ(
      Int("SELECT count(*) FROM information_schema.role_table_grants WHERE table_schema = 'dunlin' "
          "AND table_name = 'before_image' AND grantee <> 'postgres'"),
      0);
}

TEST_F(UndoTest, ForgettingKeepsTheRecord) {
  UseItems("n int", "UPDATE items SET n = 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g, 0 FROM generate_series(1, 500) g");
  WorkAll();
  const TargetTask forget{
      .id = "x", .target = "app", .store_id = run_.store_id, .request = ForgetRun{.run = run_.id}};
  auto answer = RunTargetTask(forget, *sessions_, {});
  EXPECT_TRUE(std::holds_alternative<Problem>(answer.result)) << "not of a run that is not over";
  EXPECT_EQ(Images(), 500);
  Finish();
  // Of another run: it stays.
  Exec(
      "INSERT INTO dunlin.before_image SELECT key, relation, step, gen_random_uuid(), before, "
      "after "
      "FROM dunlin.before_image WHERE key = '{7}'");
  answer = RunTargetTask(forget, *sessions_, {});
  ASSERT_TRUE(std::holds_alternative<ForgottenRun>(answer.result));
  EXPECT_EQ(std::get<ForgottenRun>(answer.result).images, 500);
  EXPECT_EQ(Images(), 1);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.shard"), 0);
  EXPECT_EQ(Text("SELECT outcome || ' ' || rows_done || ' ' || rows_changed FROM dunlin.history"),
            "finished 500 500");
}

// What an undo needs is not dropped under it, and it does not begin without.
TEST_F(UndoTest, ForgettingAndUndoExcludeEachOther) {
  UseItems("n int", "UPDATE items SET n = 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g, 0 FROM generate_series(1, 500) g");
  Finish();
  const TargetTask forget{
      .id = "x", .target = "app", .store_id = run_.store_id, .request = ForgetRun{.run = run_.id}};
  const Definition applied = definition_;
  const RunSpec former = run_;
  BeginUndo();
  ASSERT_TRUE(std::holds_alternative<PreflightResult>(Task(TaskKind::kPreflight)));
  ASSERT_TRUE(std::holds_alternative<PlanResult>(Task(TaskKind::kPlan)));
  const TargetTaskAnswer early = RunTargetTask(forget, *sessions_, {});
  ASSERT_TRUE(std::holds_alternative<Problem>(early.result));
  EXPECT_THAT(std::get<Problem>(early.result).message, HasSubstr("the run is being undone"));
  EXPECT_EQ(Images(), 500);
  Finish();
  EXPECT_EQ(RowsNot(0), 0);

  definition_ = applied;
  run_ = former;
  run_.id = RunId(MakeUuid());
  task_epoch_ = 0;
  Finish();
  const TargetTask again{
      .id = "y", .target = "app", .store_id = run_.store_id, .request = ForgetRun{.run = run_.id}};
  ASSERT_TRUE(std::holds_alternative<ForgottenRun>(RunTargetTask(again, *sessions_, {}).result));
  BeginUndo();
  ASSERT_TRUE(std::holds_alternative<PreflightResult>(Task(TaskKind::kPreflight)));
  const TaskResult planned = Task(TaskKind::kPlan);
  const auto* problem = std::get_if<Problem>(&planned);
  ASSERT_NE(problem, nullptr) << "it would find nothing, and say that all is as it was";
  EXPECT_THAT(problem->message, HasSubstr("forgotten"));
}

// A before-image goes only with its row: what keeps the row from being written keeps the image.
TEST_F(UndoTest, ARowThatCannotBePutBackIsListed) {
  UseItems("n int", "UPDATE items SET n = n + 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items SELECT g, 0 FROM generate_series(1, 100) g");
  Finish();
  Exec(
      "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.id = 7 THEN RETURN "
      "NULL; END IF; RETURN NEW; END'; CREATE TRIGGER skip BEFORE UPDATE ON items FOR EACH ROW "
      "EXECUTE FUNCTION skip()");
  BeginUndo();
  const FinalizeResult undone = Finish();
  EXPECT_EQ(RowsNot(0), 1);
  EXPECT_EQ(undone.rows_left, 1);
  EXPECT_THAT(undone.some_left, ::testing::ElementsAre("public.items (7)"));
}

TEST_F(UndoTest, RequireFailsFromTheBeginningOfAnUndo) {
  UseItems("n int", "UPDATE items SET n = 1 WHERE :batch", "{keep: [n]}");
  Exec("INSERT INTO items VALUES (1, 0)");
  Finish();
  const auto says = [&] {
    return Text("SELECT set_config('dunlin.guard', 'warn', true) || dunlin.require('" +
                run_.migration + "')");
  };
  EXPECT_THAT(says(), HasSubstr("is finished since"));
  BeginUndo();
  ASSERT_TRUE(std::holds_alternative<PreflightResult>(Task(TaskKind::kPreflight)));
  ASSERT_TRUE(std::holds_alternative<PlanResult>(Task(TaskKind::kPlan)));
  EXPECT_THAT(says(), HasSubstr("is being undone"));
  Finish();
  EXPECT_THAT(says(), HasSubstr("was undone on database app; run it again: dunlin redo"));
}

}  // namespace
}  // namespace dunlin::agent
