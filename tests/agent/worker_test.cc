// A shard's worker on a real server: splits, failing rows, collations, crashes.
#include <malloc.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"

#include "common/fault.h"
#include "common/pg/error.h"
#include "tests/agent/agent_fixture.h"

namespace dunlin::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

#ifdef __SANITIZE_ADDRESS__
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

class WorkerTest : public AgentTest {
 protected:
  void MakeAndPlan(int rows, const std::string& more = "") {
    MakeItems(rows);
    UseCountUp(more);
    shard_ = PlanOneShard();
  }
  // Planned when one row of `of` was there; the others have come since.
  void MakeAndPlanOneOf(int of, int rows) {
    MakeItems(rows);
    Exec(absl::StrCat("DELETE FROM items WHERE id % ", of, " <> 0"));
    Exec("VACUUM FULL items");
    UseCountUp();
    shard_ = PlanOneShard();
    Exec(absl::StrCat("INSERT INTO items SELECT g FROM generate_series(1, ", rows, ") g WHERE g % ",
                      of, " <> 0"));
  }
  // The first one of the planned shard.
  Lease LeaseFor(absl::Duration duration, const WorkLimits& limits) {
    return {.id = LeaseId(MakeUuid()),
            .run = run_,
            .duration = duration,
            .limits = limits,
            .work = ShardWork{.id = shard_.id,
                              .relation = shard_.relation,
                              .upper = shard_.upper,
                              .epoch = Epoch(1),
                              .rows_total = shard_.rows_total}};
  }
  LedgerShard shard_;
};

// The client gives up on a COMMIT that the server is still at: whatever a worker does then, the
// rows of that batch change once.
TEST_F(WorkerTest, I1_WhatIsInDoubtIsSettledByAFreshGrantAlone) {
  MakeAndPlan(2'000);
  Tune("agent.batch.deadline", absl::Milliseconds(300));
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("BEGIN").ok());
  ASSERT_TRUE(application->Query("SELECT * FROM items WHERE id = 1 FOR UPDATE").ok());
  const auto handle = Grant(shard_, 1);
  std::atomic<bool> ended = false;
  ShardOutcome outcome;
  std::jthread working([&] {
    outcome = Work(*handle);
    ended = true;
  });
  const auto backs_off = [&] {
    return handle->TakeReport().waiting_reason.find("backs off") != std::string::npos;
  };
  ASSERT_TRUE(testing::Eventually(absl::Seconds(30), backs_off)) << "it has claimed";
  Exec("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  Exec("SELECT pg_reload_conf()");
  ASSERT_TRUE(application->Query("ROLLBACK").ok());
  ASSERT_TRUE(testing::Eventually(absl::Seconds(30), [&] {
    return Int("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == 1;
  }));
  handle->SetWaiting("");
  EXPECT_TRUE(testing::Eventually(absl::Seconds(30), [&] { return ended || backs_off(); }));
  Tune("agent.batch.deadline", absl::InfiniteDuration());
  Exec("ALTER SYSTEM RESET synchronous_standby_names");
  Exec("SELECT pg_reload_conf()");
  working.join();
  EXPECT_FALSE(outcome.done);
  EXPECT_FALSE(outcome.checkpoint.has_value()) << "nothing may be inferred";
  EXPECT_TRUE(Work(shard_, 2).done);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(WorkerTest, I2_ASplitMovesTheUpperAndInsertsTheChildInOneTransaction) {
  MakeAndPlan(20'000);
  const auto handle = Grant(shard_, 1);
  handle->RequestSplit();
  EXPECT_TRUE(Work(*handle).done);
  ASSERT_EQ(splits_.size(), 1u);
  const std::vector<LedgerShard> shards = Shards();
  ASSERT_EQ(shards.size(), 2u);
  for (const LedgerShard& child : shards) {
    if (child.id == shard_.id) continue;
    EXPECT_EQ(child.lower, OptionalKey(splits_[0].middle));
    EXPECT_EQ(child.upper, shard_.upper);
    EXPECT_EQ(child.epoch, Epoch(0));
    EXPECT_TRUE(Work(child, 1).done);
  }
  EXPECT_EQ(RowsNot(1), 0);
  EXPECT_TRUE(std::holds_alternative<FinalizeResult>(Task(TaskKind::kFinalize, 0, 2)));
}

TEST_F(WorkerTest, I2_ABatchThatWasPlannedAheadOfASplitEndsAtTheNewUpper) {
  MakeAndPlan(20'000);
  Exec(
      "CREATE TABLE go (); CREATE FUNCTION wait_for_go() RETURNS trigger LANGUAGE plpgsql AS $$ "
      "BEGIN WHILE NOT EXISTS (SELECT FROM go) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NULL; "
      "END $$; CREATE TRIGGER wait_for_go BEFORE UPDATE ON items FOR EACH STATEMENT EXECUTE "
      "FUNCTION wait_for_go()");
  const auto handle = Grant(shard_, 1);
  SizeMemory sizes(9'000);  // the second batch would end far behind the middle of what is left
  ShardOutcome outcome;
  std::jthread working([&] { outcome = Work(*handle, sizes); });
  ASSERT_TRUE(testing::Eventually(absl::Seconds(30), [&] {
    return Int("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1;
  })) << "the first batch is under way";
  handle->RequestSplit();
  Exec("INSERT INTO go DEFAULT VALUES");
  working.join();
  EXPECT_TRUE(outcome.done);
  ASSERT_EQ(splits_.size(), 1u);
  for (const LedgerShard& child : Shards()) {
    if (child.id == shard_.id) continue;
    EXPECT_TRUE(Work(child, 1).done);
  }
  EXPECT_EQ(RowsNot(1), 0);
}

// Rests are never shorter than asked for, however busy the machine.
TEST_F(WorkerTest, ATwentiethOfTheTimeIsATwentieth) {
  MakeAndPlan(500);
  Exec(
      "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
      "pg_sleep(0.01); RETURN NULL; END $$; CREATE TRIGGER linger BEFORE UPDATE ON items FOR EACH "
      "STATEMENT EXECUTE FUNCTION linger()");
  LeaseHandle handle(Lease{.id = LeaseId(MakeUuid()),
                           .run = run_,
                           .duration = absl::Minutes(5),
                           .limits = {.duty = 0.05},
                           .work = std::get<ShardWork>(Grant(shard_, 1)->lease().work)},
                     SystemClock().Monotonic(), SystemClock());
  SizeMemory sizes(100);
  const absl::Duration began = SystemClock().Monotonic();
  EXPECT_TRUE(Work(handle, sizes).done);
  // Five batches of 10 ms each, and 190 ms of rest behind all but the last.
  EXPECT_GE(SystemClock().Monotonic() - began, absl::Milliseconds(4 * 190));
}

TEST_F(WorkerTest, I12_ABatchThatLastsTooLongIsEndedAndTriedSmaller) {
  MakeAndPlan(1'000);
  Exec(
      "CREATE TABLE go (); CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "IF NOT EXISTS (SELECT FROM go) THEN PERFORM pg_sleep(3); END IF; RETURN NULL; END $$; "
      "CREATE TRIGGER linger BEFORE UPDATE ON items FOR EACH STATEMENT EXECUTE FUNCTION linger()");
  const auto handle = Grant(shard_, 1);
  ShardOutcome outcome;
  std::jthread working([&] { outcome = Work(*handle); });
  EXPECT_TRUE(testing::Eventually(absl::Seconds(30), [&] {
    return handle->TakeReport().waiting_reason.find("57014") != std::string::npos;
  })) << "it held its rows for longer than a batch may";
  Exec("INSERT INTO go DEFAULT VALUES");
  working.join();
  EXPECT_TRUE(outcome.done);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(WorkerTest, AShardThatHasGrownSincePlanningSaysHowMuchIsLeftAndCanBeSplit) {
  MakeAndPlanOneOf(300, 300'000);
  const auto handle = Grant(shard_, 1);
  ShardOutcome outcome;
  std::jthread working([&] { outcome = Work(*handle); });
  ASSERT_TRUE(testing::Eventually(absl::Seconds(30),
                                  [&] { return handle->TakeReport().rows_left > 20'000; }));
  handle->RequestSplit();
  working.join();
  EXPECT_TRUE(outcome.done);
  ASSERT_EQ(splits_.size(), 1u);
  for (const LedgerShard& child : Shards()) {
    if (child.id == shard_.id) continue;
    EXPECT_TRUE(Work(child, 1).done);
  }
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(WorkerTest, AShardThatHasGrownIsSplitInTheMiddleOfWhatIsThere) {
  MakeAndPlanOneOf(20, 60'000);
  const auto handle = Grant(shard_, 1);
  handle->RequestSplit();
  EXPECT_TRUE(Work(*handle).done);
  ASSERT_EQ(splits_.size(), 1u);
  EXPECT_EQ(splits_[0].parent_rows_total, 30'000);
  EXPECT_EQ(splits_[0].child_rows_total, 30'000);
  EXPECT_NEAR(static_cast<double>(Int("SELECT rows_done FROM dunlin.shard WHERE done")), 30'000, 1);
}

TEST_F(WorkerTest, I2_ASplitWhoseReportIsNotTakenIsFoundInTheLedger) {
  MakeAndPlan(20'000);
  const auto handle = Grant(shard_, 1);
  handle->RequestSplit();
  ShardWorker worker(*handle, definition_, *sessions_, crashes_, sizes_,
                     {.split = [](const SplitReport&) { return false; }, .quarantine = {}},
                     SystemClock());
  const ShardOutcome outcome = worker.Run();
  EXPECT_FALSE(outcome.done);
  // The grant's bounds are the store's old ones: a mismatch, and reconcile tells both halves.
  EXPECT_EQ(Work(shard_, 2).problem.kind, Problem::Kind::kLedgerMismatch);
  const TaskResult reconciled = Task(TaskKind::kReconcile);
  ASSERT_TRUE(std::holds_alternative<ReconcileResult>(reconciled));
  for (const LedgerShard& shard : std::get<ReconcileResult>(reconciled).shards)
    EXPECT_TRUE(Work(shard, 3).done);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(WorkerTest, I3_ASplitOfAFormerOwnerIsRefused) {
  MakeAndPlan(20'000);
  const auto handle = Grant(shard_, 1);
  const auto newer = OpenFor(shard_, 2);
  handle->RequestSplit();
  // The newer owner claims as soon as the former one has.
  Exec(
      "CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.epoch := 2; "
      "RETURN NEW; END $$; CREATE TRIGGER overtake BEFORE UPDATE ON dunlin.shard FOR EACH ROW "
      "WHEN (NEW.epoch = 1) EXECUTE FUNCTION overtake()");
  EXPECT_FALSE(Work(*handle).done);
  EXPECT_TRUE(splits_.empty());
  EXPECT_EQ(Shards().size(), 1u);
}

TEST_F(WorkerTest, Trap05_ABatchThatWaitsForARowGoesOnSmallerAndFinishes) {
  MakeAndPlan(3'000);
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("BEGIN").ok());
  ASSERT_TRUE(application->Query("UPDATE items SET n = n WHERE id = 1500").ok());
  const auto handle = Grant(shard_, 1);
  ShardOutcome outcome;
  std::jthread working([&] { outcome = Work(*handle); });
  ASSERT_TRUE(testing::Eventually(absl::Seconds(30), [&] {
    return handle->TakeReport().waiting_reason.find("backs off") != std::string::npos;
  }));
  ASSERT_TRUE(application->Query("COMMIT").ok());
  working.join();
  EXPECT_TRUE(outcome.done);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(WorkerTest, Trap10_AGroupOfEqualKeysStaysInOneBatch) {
  Exec(
      "CREATE TABLE items (id bigint NOT NULL, n int NOT NULL DEFAULT 0); CREATE INDEX ON items "
      "(id); INSERT INTO items SELECT CASE WHEN g <= 3000 THEN 7 ELSE g / 10 END FROM "
      "generate_series(1, 9000) g; ANALYZE items");
  UseCountUp("key: [id]\nlimits: {batch_time: 5ms}\n");
  shard_ = PlanOneShard();
  EXPECT_TRUE(Work(shard_, 1).done);
  EXPECT_EQ(RowsNot(1), 0);
  EXPECT_EQ(Int("SELECT rows_done FROM dunlin.shard"), 9'000);
}

// Keys of several columns, in batches small enough that bounds fall everywhere.
struct KeyLayout {
  const char* name;
  bool large_groups;  // of equal first columns, without updates of the index
  const char* create;
};
// Pages of an index that a batch may read besides the rows it changes.
constexpr int64_t kDown = 12;
class CompositeKeyTest : public WorkerTest, public ::testing::WithParamInterface<KeyLayout> {};

TEST_P(CompositeKeyTest, Trap02_EachRowOnceAndNoBatchReadsTheRestOfItsGroup) {
  Exec(GetParam().create);
  Exec("VACUUM (ANALYZE) items");
  UseCountUp(
      "limits: {batch_time: 5ms}\nverify: SELECT count(*) FROM items WHERE n <> 1 AND :batch\n");
  std::vector<LedgerShard> shards = PlanRun();
  Exec("SELECT pg_stat_reset()");
  const auto handle = Grant(shards.at(0), 1);
  handle->RequestSplit();
  EXPECT_TRUE(Work(*handle).done);
  for (const LedgerShard& shard : Shards()) {
    EXPECT_TRUE(shard.done || Work(shard, 1).done);
  }
  EXPECT_EQ(RowsNot(1), 0);
  const int64_t rows = Int("SELECT count(*) FROM items");
  EXPECT_EQ(Int("SELECT sum(rows_changed)::bigint FROM dunlin.shard"), rows);
  // Counters of a session come with its end.
  const auto pages_read = [&] {
    return Int(
        "SELECT coalesce(sum(idx_blks_hit + idx_blks_read), 0)::bigint FROM "
        "pg_statio_user_tables WHERE relname = 'items'");
  };
  const int64_t pages = Int("SELECT pg_relation_size('items_pkey') / 8192");
  ASSERT_TRUE(testing::Eventually(absl::Seconds(20), [&] { return pages_read() >= pages; }));
  // The whole index a few times and the way down to each batch (which are many on a slow machine),
  // not the rest of a group: that is a quarter of the index in each.
  const int64_t batches = Int("SELECT sum(seq)::bigint FROM dunlin.shard");
  EXPECT_TRUE(!GetParam().large_groups || pages_read() < 6 * pages + kDown * batches)
      << pages_read() << " for an index of " << pages << " in " << batches << " batches";
  EXPECT_LE(Int("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'items'"), 4)
      << "some batch read the whole table";
}

const KeyLayout kKeyLayouts[] = {
    {"few_large_groups", true,
     "CREATE TABLE items (tenant text, id bigint, n int NOT NULL DEFAULT 0, PRIMARY KEY (tenant, "
     "id)) WITH (fillfactor = 60); INSERT INTO items SELECT 't' || g % 2, g FROM "
     "generate_series(1, 48000) g"},
    {"many_small_groups", false,
     "CREATE TABLE items (tenant bigint, id uuid, n int NOT NULL DEFAULT 0, PRIMARY KEY (tenant, "
     "id)) WITH (fillfactor = 60); INSERT INTO items SELECT g / 3, md5(g::text)::uuid FROM "
     "generate_series(1, 48000) g"},
    {"three_columns", true,
     "CREATE TABLE items (a int, b text COLLATE \"en-x-icu\", c bigint, n int NOT NULL DEFAULT 0, "
     "PRIMARY KEY (a, b, c)) WITH (fillfactor = 60); INSERT INTO items SELECT g % 2, CASE WHEN g % "
     "5 < 3 THEN 'B' ELSE 'a' || g % 7 END, g FROM generate_series(1, 48000) g"},
    // 1.0 and 1.00 are one value and two texts.
    {"equal_values_that_differ_as_text", false,
     "CREATE TABLE items (a numeric, b bigint, n int NOT NULL DEFAULT 0, PRIMARY KEY (a, b)) WITH "
     "(fillfactor = 60); INSERT INTO items SELECT CASE g % 3 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 ELSE "
     "2.000 END, g FROM generate_series(1, 48000) g"},
};
INSTANTIATE_TEST_SUITE_P(Keys, CompositeKeyTest, ::testing::ValuesIn(kKeyLayouts),
                         [](const auto& layout) { return std::string(layout.param.name); });

TEST_F(WorkerTest, Trap21_AnotherCollationVersionThanAtPlanPausesTheRun) {
  Exec(
      "CREATE TABLE items (id text COLLATE \"en-x-icu\" PRIMARY KEY, n int NOT NULL DEFAULT 0); "
      "INSERT INTO items SELECT 'k' || g FROM generate_series(1, 100) g");
  UseCountUp();
  shard_ = PlanOneShard();
  EXPECT_NE(Text("SELECT collations FROM dunlin.shard"), "");
  Exec("UPDATE dunlin.shard SET collations = 'en-x-icu=1.0'");
  const ShardOutcome outcome = Work(shard_, 1);
  EXPECT_EQ(outcome.problem.kind, Problem::Kind::kPause);
  EXPECT_THAT(outcome.problem.message, HasSubstr("collation"));
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(WorkerTest, Trap06_ABatchThatCrashesTheServerDoesNotLoop) {
  MakeAndPlan(1'000);
  // A row that takes its backend down hard, as a broken extension would: the server restarts all.
  Exec(
      "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('COPY "
      "(SELECT 1) TO PROGRAM ''kill -SEGV %s''', pg_backend_pid()); RETURN NEW; END $$; CREATE "
      "TRIGGER crash BEFORE UPDATE ON items FOR EACH ROW WHEN (NEW.id = 50) EXECUTE FUNCTION "
      "crash()");
  ShardOutcome outcome;
  int64_t epoch = 0;
  EXPECT_TRUE(testing::Eventually(absl::Minutes(1), [&] {  // the server recovers in between
    outcome = Work(shard_, ++epoch);
    return outcome.problem.kind == Problem::Kind::kPause;
  })) << "it never ended";
  EXPECT_THAT(outcome.problem.message, HasSubstr("crashed"));
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n > 1"), 0);
}

TEST_F(WorkerTest, I7_ADrainedWorkerEndsAfterTheBatchInFlight) {
  MakeAndPlan(2'000);
  const auto handle = Grant(shard_, 1);
  handle->Drain();
  const ShardOutcome outcome = Work(*handle);
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(WorkerTest, Trap16_AWorkerWhoseLeaseHasEndedByItsOwnClockStops) {
  MakeAndPlan(2'000);
  LeaseHandle handle(LeaseFor(absl::Seconds(3), {}), SystemClock().Monotonic() - absl::Seconds(10),
                     SystemClock());  // asked for ten seconds ago
  EXPECT_FALSE(handle.Valid());
  EXPECT_FALSE(Work(handle).done);
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(WorkerTest, Trap16_NoBatchBeginsBehindAPauseThatWasLongerThanTheLease) {
  MakeAndPlan(2'000);
  constexpr absl::Duration kLease = absl::Seconds(5);
  LeaseHandle handle(LeaseFor(kLease, {.pause = kLease}), SystemClock().Monotonic(), SystemClock());
  EXPECT_FALSE(Work(handle).done);
  EXPECT_EQ(Int("SELECT epoch FROM dunlin.shard"), 1) << "it has claimed";
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(WorkerTest, I8_NeitherAProblemNorItsMessageShowsAValueOfARow) {
  MakeAndPlan(10, "limits: {max_quarantined: 0}\n");
  Exec(
      "ALTER TABLE items ADD secret text DEFAULT 'geheim'; CREATE FUNCTION tell() RETURNS trigger "
      "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the value is %', NEW.secret; END $$; CREATE "
      "TRIGGER tell BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION tell()");
  const ShardOutcome outcome = Work(shard_, 1);
  EXPECT_NE(outcome.problem.kind, Problem::Kind::kNone);
  EXPECT_EQ(outcome.problem.sqlstate, "P0001");
  EXPECT_THAT(outcome.problem.message, Not(HasSubstr("geheim")));
}

int64_t AllocatedBytes() {
#ifdef __SANITIZE_ADDRESS__
  return static_cast<int64_t>(__sanitizer_get_current_allocated_bytes());
#else
  return static_cast<int64_t>(mallinfo2().uordblks);
#endif
}

TEST_F(WorkerTest, I10_AnAgentsMemoryDoesNotGrowWithTheBatchesDone) {
  MakeAndPlan(20'000);
  const auto handle = Grant(shard_, 1);
  SizeMemory one_row_each(1);
  std::jthread working([&] { Work(*handle, one_row_each); });
  const auto seq = [&] { return handle->TakeReport().checkpoint.value_or(Checkpoint{}).seq; };
  constexpr int64_t kWarmUp = 100, kBatches = 500;
  ASSERT_TRUE(testing::Eventually(absl::Seconds(30), [&] { return seq() >= kWarmUp; }));
  const auto before = AllocatedBytes();
  ASSERT_TRUE(testing::Eventually(absl::Minutes(1), [&] { return seq() >= kWarmUp + kBatches; }));
  const auto after = AllocatedBytes();
  handle->Drain();
  working.join();
  // A checkpoint with its key is over a hundred bytes.
  EXPECT_LT(after - before, 40 * kBatches);
}

TEST_F(WorkerTest, I10_OnlyTheLatestCheckpointIsKeptForTheHeartbeat) {
  MakeAndPlan(5'000);
  const auto handle = Grant(shard_, 1);
  EXPECT_TRUE(Work(*handle).done);
  const LeaseHandle::Report report = handle->TakeReport();
  ASSERT_TRUE(report.checkpoint.has_value());
  EXPECT_EQ(report.checkpoint->rows_done, 5'000);
}

}  // namespace
}  // namespace dunlin::agent
