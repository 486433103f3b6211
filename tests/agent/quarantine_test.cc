// Rows that fail alone: found by halving, set aside under the fence, tried again exactly once.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "agent/work/bisector.h"
#include "common/pg/error.h"
#include "tests/agent/agent_fixture.h"

namespace dunlin::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class QuarantineTest : public AgentTest {
 protected:
  void MakeAndPlan(int rows, const std::string& more = "") {
    MakeItems(rows);
    UseCountUp(more);
    shard_ = PlanOneShard();
  }
  // Rows with these ids cannot be changed.
  void Break(const std::string& ids, const std::string& constraint = "no_luck") {
    Exec(absl::StrCat("ALTER TABLE items ADD CONSTRAINT ", constraint, " CHECK (id NOT IN (", ids,
                      ") OR n = 0)"));
  }
  void Mend(const std::string& constraint = "no_luck") {
    Exec(absl::StrCat("ALTER TABLE items DROP CONSTRAINT ", constraint));
  }
  std::vector<std::string> Keys() {
    std::vector<std::string> keys;
    for (const QuarantinedRow& row : set_aside_) keys.push_back(row.key.Reveal()[0]);
    return keys;
  }
  QuarantineResult Quarantine(bool retry, std::vector<Acceptance> accept = {}) {
    TaskWork task = MakeTask(TaskKind::kQuarantine);
    task.retry = retry;
    task.accept = std::move(accept);
    const TaskResult result = RunTaskWork(task);
    const auto* quarantine = std::get_if<QuarantineResult>(&result);
    EXPECT_NE(quarantine, nullptr);
    return quarantine == nullptr ? QuarantineResult() : *quarantine;
  }
  LedgerShard shard_;
};

TEST_F(QuarantineTest, Trap06_OneRowThatFailsIsSetAsideAndAllOthersAreDoneOnce) {
  MakeAndPlan(5'000);
  Break("3456");
  const ShardOutcome outcome = Work(shard_, 1);
  EXPECT_TRUE(outcome.done);
  ASSERT_THAT(Keys(), ElementsAre("3456"));
  EXPECT_EQ(set_aside_[0].sqlstate, "23514");
  EXPECT_EQ(set_aside_[0].constraint, "no_luck");
  EXPECT_EQ(set_aside_[0].table, "items");
  EXPECT_THAT(set_aside_[0].key_columns, ElementsAre("id"));
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1 AND id <> 3456"), 4'999);
  EXPECT_EQ(Int("SELECT n FROM items WHERE id = 3456"), 0);
  EXPECT_EQ(Int("SELECT rows_done FROM dunlin.shard"), 5'000);
  EXPECT_EQ(Int("SELECT rows_changed FROM dunlin.shard"), 4'999);
  EXPECT_LE(Int("SELECT seq FROM dunlin.shard"), 40) << "a row costs a few batches";
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.quarantine WHERE lower = '{3455}' AND key = '{3456}'"),
            1);
}

TEST_F(QuarantineTest, TheDbasSwitchIsReadByTheFenceOfARetry) {
  MakeAndPlan(100);
  Break("7");
  EXPECT_TRUE(Work(shard_, 1).done);
  Mend();
  const std::string fence =
      absl::StrCat("SELECT dunlin.fence_retry('", Text("SELECT id::text FROM dunlin.quarantine"),
                   "', ", Int("SELECT task_epoch FROM dunlin.run"), ", 1000)");
  const auto connection = server_.Connect("app");
  Exec("SELECT dunlin.stop('on fire')");
  EXPECT_EQ(pg::SqlStateOf(connection->Query(fence).status()), "DN002");
  Exec("SELECT dunlin.go()");
  // By name, too.
  Exec(absl::StrCat("SELECT dunlin.stop('on fire', '", run_.migration, "')"));
  EXPECT_EQ(pg::SqlStateOf(connection->Query(fence).status()), "DN002");
  Exec(absl::StrCat("SELECT dunlin.go('", run_.migration, "')"));
  EXPECT_TRUE(connection->Query(fence).ok());
}

TEST_F(QuarantineTest, I1_ARetryChangesTheRowOfItsOwnPartition) {
  Exec(
      "CREATE TABLE items (id bigint, r text, n int NOT NULL DEFAULT 0, PRIMARY KEY (id, r)) "
      "PARTITION BY LIST (r); CREATE TABLE ia PARTITION OF items FOR VALUES IN ('a'); CREATE TABLE "
      "ib PARTITION OF items FOR VALUES IN ('b'); INSERT INTO items SELECT g, r FROM "
      "generate_series(1, 100) g, unnest(ARRAY['a', 'b']) r");
  UseFile(
      "description: x\ntable: items\nkey: [id]\n"
      "batch: UPDATE :table SET n = n + 1 WHERE :batch\n");
  const std::vector<LedgerShard> shards = PlanRun();
  Break("7");
  for (const LedgerShard& shard : shards) ASSERT_TRUE(Work(shard, 1).done);
  Mend();
  EXPECT_EQ(Quarantine(true).rows_retried, 2);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(QuarantineTest, Trap06_NeighboursAndBothEndsAreEachSetAside) {
  MakeAndPlan(5'000);
  Break("1, 700, 701, 702, 703, 4321, 5000");
  EXPECT_TRUE(Work(shard_, 1).done);
  EXPECT_THAT(Keys(), ElementsAre("1", "700", "701", "702", "703", "4321", "5000"));
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 4'993);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n > 1"), 0);
}

TEST_F(QuarantineTest, Trap06_WithoutAQuarantineTheFirstRowThatFailsPausesTheRun) {
  MakeAndPlan(5'000, "limits: {max_quarantined: 0}\n");
  Break("3456");
  const ShardOutcome outcome = Work(shard_, 1);
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(outcome.problem.kind, Problem::Kind::kData);
  EXPECT_EQ(outcome.problem.sqlstate, "23514");
  EXPECT_EQ(outcome.problem.constraint, "no_luck");
  EXPECT_EQ(outcome.problem.key_from, OptionalKey(KeyText({"3455"})));
  EXPECT_EQ(outcome.problem.key_to, OptionalKey(KeyText({"3456"})));
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 3'455);
  Mend();
  EXPECT_TRUE(Work(shard_, 2).done);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(QuarantineTest, Trap07_AWholeBatchThatFailsForOneReasonPausesTheRun) {
  MakeAndPlan(1'000);
  Exec("ALTER TABLE items ADD CONSTRAINT never CHECK (id < 500 OR n = 0)");
  const ShardOutcome outcome = Work(shard_, 1);
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(outcome.problem.kind, Problem::Kind::kData);
  EXPECT_THAT(outcome.problem.message, HasSubstr("whole batches fail"));
  EXPECT_EQ(set_aside_.size(), static_cast<size_t>(Bisector::kWholeBatch - 1));
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 499);
}

TEST_F(QuarantineTest, Trap07_TheCoordinatorsWordStopsTheWorkerAtOnce) {
  MakeAndPlan(5'000);
  Break("100, 3456");
  quarantine_answer_ = QuarantineAnswer::kStop;
  const ShardOutcome outcome = Work(shard_, 1);
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(outcome.problem.kind, Problem::Kind::kNone);
  EXPECT_THAT(Keys(), ElementsAre("100"));
  EXPECT_EQ(outcome.checkpoint->cursor, OptionalKey(KeyText({"100"})));
}

TEST_F(QuarantineTest, Trap10_AGroupOfEqualKeysIsSetAsideTogether) {
  Exec(
      "CREATE TABLE items (id bigint NOT NULL, n int NOT NULL DEFAULT 0); CREATE INDEX ON items "
      "(id); INSERT INTO items SELECT CASE WHEN g <= 300 THEN 700 ELSE g END FROM "
      "generate_series(1, 2000) g; ANALYZE items");
  UseCountUp("key: [id]\nlimits: {max_quarantined: 1000}\n");
  shard_ = PlanOneShard();
  Break("700");
  EXPECT_TRUE(Work(shard_, 1).done);
  ASSERT_THAT(Keys(), ElementsAre("700"));
  EXPECT_EQ(set_aside_[0].rows, 301);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1 AND id <> 700"), 1'699);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n > 0 AND id = 700"), 0);
  Mend();
  const QuarantineResult left = Quarantine(true);
  EXPECT_TRUE(left.rows.empty());
  EXPECT_EQ(left.rows_retried, 301);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(QuarantineTest, Trap06_RowsThatWhereDoesNotMatchAreNotSetAsideWithTheirNeighbour) {
  MakeItems(20'000);
  UseFile(
      "description: x\ntable: items\nwhere: id % 1000 = 0\nbatch: UPDATE items SET n = n + 1 WHERE "
      "id % 500 = 0 AND :batch\n");
  shard_ = PlanOneShard();
  Break("7000, 7500");  // the batch changes more than `where` says
  EXPECT_TRUE(Work(shard_, 1).done);
  EXPECT_THAT(Keys(), ElementsAre("7000", "7500"));
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 38);
  Mend();
  EXPECT_EQ(Quarantine(true).rows_retried, 2);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 40);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n > 1"), 0);
}

TEST_F(QuarantineTest, Trap06_ARowForWhichWhereItselfFailsIsSetAside) {
  MakeItems(3'000);
  Exec("ALTER TABLE items ADD body text NOT NULL DEFAULT '1'");
  UseFile(
      "description: x\ntable: items\nwhere: body::int = 1\nbatch: UPDATE items SET n = n + 1 WHERE "
      "body::int = 1 AND :batch\n");
  shard_ = PlanOneShard();
  Exec("UPDATE items SET body = 'geheim' WHERE id = 2345");
  EXPECT_TRUE(Work(shard_, 1).done);
  ASSERT_THAT(Keys(), ElementsAre("2345"));
  EXPECT_EQ(set_aside_[0].sqlstate, "22P02");
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 2'999);
}

TEST_F(QuarantineTest, ARowThatTheLedgerHasAndNobodyHeardOfIsReportedByTheNextOwner) {
  MakeAndPlan(3'000);
  Break("2000, 3000");
  quarantine_answer_ = QuarantineAnswer::kNotTaken;  // as if the agent had died after the commit
  const ShardOutcome first = Work(shard_, 1);
  EXPECT_FALSE(first.done);
  EXPECT_FALSE(first.checkpoint.has_value()) << "nothing is known to the coordinator";
  const ShardOutcome second = Work(shard_, 2);  // fails again on its first report
  EXPECT_FALSE(second.done);
  EXPECT_THAT(Keys(), ElementsAre("2000", "2000"));
  set_aside_.clear();
  quarantine_answer_ = QuarantineAnswer::kGoOn;
  EXPECT_TRUE(Work(shard_, 3).done);
  EXPECT_THAT(Keys(), ElementsAre("2000", "3000"));
  // Done by setting the last row aside, and that report was lost: the next claim tells both.
  set_aside_.clear();
  EXPECT_TRUE(Work(shard_, 4).done);
  EXPECT_THAT(Keys(), ElementsAre("2000", "3000"));
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 2'998);
}

TEST_F(QuarantineTest, I3_AFormerOwnerSetsNothingAside) {
  MakeAndPlan(100);
  Claimed former = ClaimAndPrepare(shard_, 1);
  const Claimed newer = ClaimAndPrepare(shard_, 2);
  QuarantinedRow row{.id = MakeUuid(), .key_columns = {"id"}, .key = KeyText({"1"}), .rows = 1};
  row.sqlstate = "23514";
  const BatchOutcome outcome = former.runner->SetAside(former.state, row);
  EXPECT_EQ(pg::SqlStateOf(outcome.status), "DN001");
  EXPECT_FALSE(outcome.in_doubt);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.quarantine"), 0);
  EXPECT_EQ(Int("SELECT seq FROM dunlin.shard"), 0);
  EXPECT_FALSE(former.state.checkpoint.cursor.has_value());
}

TEST_F(QuarantineTest, I1_ARetryDoesExactlyTheRowsSetAsideOnce) {
  MakeAndPlan(2'000);
  Break("10, 1500");
  Break("700", "other");
  ASSERT_TRUE(Work(shard_, 1).done);
  Mend();
  QuarantineResult left = Quarantine(true);
  ASSERT_EQ(left.rows.size(), 1u);
  EXPECT_EQ(left.rows[0].key, KeyText({"700"}));
  EXPECT_EQ(left.rows[0].tries, 2);
  EXPECT_EQ(left.rows[0].constraint, "other");
  EXPECT_EQ(left.rows_retried, 2);
  Mend("other");
  left = Quarantine(true);
  EXPECT_TRUE(left.rows.empty());
  EXPECT_EQ(left.rows_retried, 3);
  EXPECT_TRUE(Quarantine(true).rows.empty());
  EXPECT_EQ(RowsNot(1), 0);
  EXPECT_TRUE(std::holds_alternative<FinalizeResult>(Task(TaskKind::kFinalize, 0, 1)));
}

TEST_F(QuarantineTest, I3_ATryOfAnOlderTaskCannotCommit) {
  MakeAndPlan(500);
  Break("10");
  ASSERT_TRUE(Work(shard_, 1).done);
  Mend();
  Claimed older = PrepareOnly(shard_);
  const QuarantinedRow row = set_aside_.at(0);
  Quarantine(false);  // raises the task epoch
  const BatchOutcome outcome = older.runner->Retry(row, Epoch(task_epoch_ - 1));
  EXPECT_EQ(pg::SqlStateOf(outcome.status), "DN003");
  EXPECT_EQ(Int("SELECT n FROM items WHERE id = 10"), 0);
  EXPECT_TRUE(older.runner->Retry(row, Epoch(task_epoch_)).status.ok());
  EXPECT_EQ(pg::SqlStateOf(older.runner->Retry(row, Epoch(task_epoch_)).status), "DN006");
  EXPECT_EQ(Int("SELECT n FROM items WHERE id = 10"), 1);
}

TEST_F(QuarantineTest, FinalizeRefusesWhileARowIsSetAsideAndTakesAcceptedOnes) {
  MakeAndPlan(500);
  Break("10, 20");
  ASSERT_TRUE(Work(shard_, 1).done);
  const TaskResult early = Task(TaskKind::kFinalize, 0, 1);
  ASSERT_TRUE(std::holds_alternative<Problem>(early));
  EXPECT_EQ(std::get<Problem>(early).kind, Problem::Kind::kLedgerMismatch);
  const TaskResult told = Task(TaskKind::kReconcile);
  EXPECT_EQ(std::get<ReconcileResult>(told).quarantine.rows.size(), 2u);
  QuarantineResult left = Quarantine(false, {{set_aside_[0].id, "ada", "known bad"}});
  ASSERT_EQ(left.rows.size(), 2u);
  EXPECT_EQ(std::count_if(left.rows.begin(), left.rows.end(),
                          [](const QuarantinedRow& row) { return row.accepted; }),
            1);
  EXPECT_TRUE(std::holds_alternative<Problem>(Task(TaskKind::kFinalize, 0, 1)));
  Mend();
  // A retry leaves what is accepted as it is.
  left = Quarantine(true);
  ASSERT_EQ(left.rows.size(), 1u);
  EXPECT_EQ(left.rows[0].accepted_by, "ada");
  EXPECT_EQ(left.rows[0].accepted_reason, "known bad");
  EXPECT_EQ(Int("SELECT n FROM items WHERE id = 10"), 0);
  EXPECT_EQ(Int("SELECT n FROM items WHERE id = 20"), 1);
  EXPECT_TRUE(std::holds_alternative<FinalizeResult>(Task(TaskKind::kFinalize, 0, 1)));
  EXPECT_EQ(Int("SELECT rows_quarantined FROM dunlin.history"), 1);
}

TEST_F(QuarantineTest, ARunThatOnlySetRowsAsideChangedNothingAndMakesWay) {
  MakeAndPlan(30);
  Exec("ALTER TABLE items ADD CONSTRAINT never CHECK (n = 0)");
  ASSERT_FALSE(Work(shard_, 1).done);
  ASSERT_GT(Int("SELECT seq FROM dunlin.shard"), 0);
  Mend("never");
  UseCountUp("owner: payments\n");  // an edited file
  const LedgerShard again = PlanOneShard();
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.quarantine"), 0);
  EXPECT_TRUE(Work(again, 1).done);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(QuarantineTest, I1_ARunOfWhichOnlyRetriesChangedRowsDoesNotMakeWay) {
  MakeAndPlan(30);
  Exec("ALTER TABLE items ADD CONSTRAINT never CHECK (n = 0)");
  ASSERT_FALSE(Work(shard_, 1).done);
  Mend("never");
  ASSERT_TRUE(Quarantine(true).rows.empty());
  ASSERT_GT(Int("SELECT count(*) FROM items WHERE n = 1"), 0);
  const int64_t shards = Int("SELECT count(*) FROM dunlin.shard");
  UseCountUp("owner: payments\n");  // an edited file
  TaskResult result = Task(TaskKind::kPreflight);
  if (!std::holds_alternative<Problem>(result)) result = Task(TaskKind::kPlan);
  EXPECT_TRUE(std::holds_alternative<Problem>(result)) << "those rows would be changed twice";
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.shard"), shards);
}

}  // namespace
}  // namespace dunlin::agent
