// Another store takes a target over from its ledger.
#include "absl/strings/str_cat.h"

#include "agent/ledger/statements.h"
#include "common/pg/error.h"
#include "tests/agent/agent_fixture.h"

namespace dunlin::agent {
namespace {

using ::testing::HasSubstr;

constexpr const char* kOther = "22222222-2222-4222-8222-222222222222";

class AdoptTest : public AgentTest {
 protected:
  AdoptTest() {
    MakeItems(300);
    UseCountUp();
    former_ = run_.store_id;
  }
  TargetTaskResult Ask(decltype(TargetTask::request) request, const std::string& store = kOther) {
    return RunTargetTask({.id = "x",
                          .target = "app",
                          .store_id = store,
                          .store_name = "other",
                          .request = std::move(request)},
                         *sessions_, {})
        .result;
  }
  TargetTaskResult Adopt() { return Ask(AdoptTarget{.by = "grace", .reason = "lost"}); }
  void MustAdopt() {
    const TargetTaskResult result = Adopt();
    const auto* problem = std::get_if<Problem>(&result);
    ASSERT_TRUE(std::holds_alternative<AdoptedTarget>(result)) << problem->message;
  }
  static std::string MessageOf(const TaskResult& result) {
    const auto* problem = std::get_if<Problem>(&result);
    return problem == nullptr ? "no problem" : problem->message;
  }
  std::string former_;
};

TEST_F(AdoptTest, I3_NothingOfTheFormerStoreCommitsAfterwards) {
  const LedgerShard shard = PlanOneShard();
  Claimed zombie = ClaimAndPrepare(shard, 1);
  ASSERT_TRUE(zombie.RunBatch(100).status.ok());
  MustAdopt();
  EXPECT_FALSE(zombie.RunBatch(100).status.ok());
  EXPECT_EQ(RowsNot(0), 100);
  // The former store grants the shard again, under whatever epoch it likes.
  for (const int64_t epoch : {2, 3, 1000}) {
    const auto connection = OpenFor(shard, epoch);
    const auto claimed = Claim(*connection, shard, epoch);
    ASSERT_TRUE(claimed.ok() && std::holds_alternative<Problem>(*claimed));
    EXPECT_EQ(std::get<Problem>(*claimed).kind, Problem::Kind::kLedgerMismatch);
  }
  // … which leads to a reconcile, and that says who owns the target and what to do.
  for (const TaskKind kind : {TaskKind::kReconcile, TaskKind::kPreflight, TaskKind::kPlan}) {
    const TaskResult refused = Task(kind);
    EXPECT_THAT(MessageOf(refused), HasSubstr("dunlin adopt app --reason WHY"));
    EXPECT_EQ(std::get<Problem>(refused).kind, Problem::Kind::kStoreRefused);
  }
  EXPECT_THAT(MessageOf(Task(TaskKind::kFinalize, 0, 1)), HasSubstr("another store owns this"));
  EXPECT_EQ(RowsNot(0), 100);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.run WHERE outcome IS NOT NULL"), 0);
}

// It looked whose the target is a moment before the adoption: what it writes comes after.
TEST_F(AdoptTest, I3_ATaskComparesTheStoreOnTheRowThatItLocks) {
  PlanOneShard();
  const auto session = sessions_->OpenForTask(absl::Seconds(5), "public, pg_temp", {});
  ASSERT_TRUE(session.ok());
  MustAdopt();
  const absl::Status begun =
      (*session)->Execute(sql::kBeginTask, {run_.id.value(), former_, "1000"}).status();
  EXPECT_EQ(pg::SqlStateOf(begun), "DN009") << begun;
  EXPECT_TRUE((*session)->Execute(sql::kBeginTask, {run_.id.value(), kOther, "1000"}).ok());
}

TEST_F(AdoptTest, I1_TheNewStoreGoesOnWhereTheFormerOneWas) {
  const LedgerShard shard = PlanOneShard();
  Claimed former = ClaimAndPrepare(shard, 7);
  ASSERT_TRUE(former.RunBatch(100).status.ok());
  MustAdopt();
  run_.store_id = kOther;
  task_epoch_ = 0;
  TaskResult read = Task(TaskKind::kReconcile);
  while (std::holds_alternative<std::monostate>(read))
    read = Task(TaskKind::kReconcile);  // its task epochs begin behind those of the former one
  ASSERT_TRUE(std::holds_alternative<ReconcileResult>(read));
  const std::vector<LedgerShard> shards = std::get<ReconcileResult>(read).shards;
  ASSERT_EQ(shards.size(), 1u);
  EXPECT_NE(shards[0].id.value(), shard.id.value());
  EXPECT_EQ(shards[0].checkpoint.rows_done, 100);
  EXPECT_TRUE(Work(shards[0], shards[0].epoch.value() + 1).done);
  EXPECT_EQ(RowsNot(1), 0);
  EXPECT_FALSE(former.RunBatch(100).status.ok());
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(AdoptTest, I3_ARetryOfTheFormerStoreEndsAndTheRowsSetAsideGoAlong) {
  const LedgerShard shard = PlanOneShard();
  Exec("ALTER TABLE items ADD CONSTRAINT no_luck CHECK (id <> 100 OR n = 0)");
  ASSERT_TRUE(Work(shard, 1).done);
  ASSERT_TRUE(std::holds_alternative<QuarantineResult>(Task(TaskKind::kQuarantine)));
  // The former store's task goes on from here: it has begun, and tries row by row.
  const std::vector<std::string> retry = {Text("SELECT id FROM dunlin.quarantine"),
                                          absl::StrCat(task_epoch_), "1000"};
  const auto session = sessions_->OpenForTask(absl::Seconds(5), "public, pg_temp", {});
  ASSERT_TRUE(session.ok());
  ASSERT_TRUE((*session)->Execute(sql::kFenceRetry, {retry[0], retry[1], retry[2]}).ok());
  MustAdopt();
  const absl::Status late =
      (*session)->Execute(sql::kFenceRetry, {retry[0], retry[1], retry[2]}).status();
  EXPECT_EQ(pg::SqlStateOf(late), "DN003") << late;
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.quarantine q JOIN dunlin.shard s ON s.id = q.shard"),
            1);
  Exec("ALTER TABLE items DROP CONSTRAINT no_luck");
  run_.store_id = kOther;
  task_epoch_ = 100;
  TaskWork again = MakeTask(TaskKind::kQuarantine);
  again.retry = true;
  ASSERT_TRUE(std::holds_alternative<QuarantineResult>(RunTaskWork(again)));
  EXPECT_EQ(RowsNot(1), 0);
}

// What is open when it begins ends first, and counts; it does not wait for ever.
TEST_F(AdoptTest, I3_ItWaitsForABatchAndForASplitInFlight) {
  const LedgerShard shard = PlanOneShard();
  const auto connection = server_.Connect("app");  // which no server ends for being idle
  pg::Connection& session = *connection;
  ASSERT_TRUE(session.Query("BEGIN").ok());
  ASSERT_TRUE(session
                  .Query(absl::StrCat("INSERT INTO dunlin.shard (id, run, step, relation, lower, "
                                      "upper) SELECT gen_random_uuid(), run, step, relation, "
                                      "'{200}', upper FROM dunlin.shard WHERE id = '",
                                      shard.id.value(), "'"))
                  .ok());
  const TargetTaskResult early = Adopt();
  ASSERT_TRUE(std::holds_alternative<Problem>(early)) << "a split is open";
  EXPECT_EQ(std::get<Problem>(early).kind, Problem::Kind::kTransient);
  EXPECT_EQ(Text("SELECT store_id FROM dunlin.meta"), former_) << "all of it or nothing";
  ASSERT_TRUE(session.Query("COMMIT").ok());
  const std::string children = Text("SELECT string_agg(id::text, ' ') FROM dunlin.shard");
  ASSERT_TRUE(session.Query("BEGIN").ok());
  ASSERT_TRUE(session
                  .Query(absl::StrCat("SELECT 1 FROM dunlin.shard WHERE id = '", shard.id.value(),
                                      "' FOR NO KEY UPDATE"))
                  .ok());
  EXPECT_TRUE(std::holds_alternative<Problem>(Adopt())) << "a batch is open";
  ASSERT_TRUE(session.Query("COMMIT").ok());
  MustAdopt();
  EXPECT_EQ(Int(absl::StrCat("SELECT count(*) FROM dunlin.shard WHERE position(id::text IN '",
                             children, "') > 0")),
            0)
      << "the child too";
}

TEST_F(AdoptTest, AskedAgainItChangesNothingAndIsOnRecordOnce) {
  PlanOneShard();
  MustAdopt();
  const std::string ids = Text("SELECT string_agg(id::text, ' ' ORDER BY id) FROM dunlin.shard");
  const TargetTaskResult again = Adopt();
  ASSERT_TRUE(std::holds_alternative<AdoptedTarget>(again));
  EXPECT_EQ(std::get<AdoptedTarget>(again).former_store_id, kOther);
  EXPECT_EQ(Text("SELECT string_agg(id::text, ' ' ORDER BY id) FROM dunlin.shard"), ids);
  EXPECT_EQ(Text("SELECT string_agg(former_store_id || ' ' || adopted_by || ' ' || reason, ';') "
                 "FROM dunlin.adoption"),
            former_ + " grace lost");
}

TEST_F(AdoptTest, TheLedgerTellsItsRunsWhole) {
  PlanOneShard();
  const TargetTaskResult adopted = Adopt();
  ASSERT_TRUE(std::holds_alternative<AdoptedTarget>(adopted));
  ASSERT_EQ(std::get<AdoptedTarget>(adopted).runs.size(), 1u);
  EXPECT_EQ(std::get<AdoptedTarget>(adopted).runs[0].outcome, "open");
  EXPECT_EQ(std::get<AdoptedTarget>(adopted).former_store_id, former_);
  const TargetTaskResult read = Ask(ReadRuns{.ids = {run_.id.value()}});
  ASSERT_TRUE(std::holds_alternative<LedgerRuns>(read));
  ASSERT_EQ(std::get<LedgerRuns>(read).runs.size(), 1u);
  const LedgerRun& run = std::get<LedgerRuns>(read).runs[0];
  EXPECT_EQ(run.name, run_.migration);
  EXPECT_EQ(run.definition, run_.definition);
  EXPECT_EQ(run.digest, run_.digest);
  EXPECT_EQ(run.outcome, "open");
}

TEST_F(AdoptTest, ADatabaseWithoutALedgerHasNothingToTell) {
  const TargetTaskResult adopted = Adopt();
  ASSERT_TRUE(std::holds_alternative<AdoptedTarget>(adopted));
  EXPECT_TRUE(std::get<AdoptedTarget>(adopted).runs.empty());
}

TEST_F(AdoptTest, ALedgerOfMoreRunsThanCanBeListedStaysWhoseItIs) {
  PlanOneShard();
  Exec(
      "INSERT INTO dunlin.run (id, name, digest, definition, store_id, system_identifier, "
      "timeline, started_at, outcome) SELECT gen_random_uuid(), 'r' || g, r.digest, r.definition, "
      "r.store_id, r.system_identifier, r.timeline, r.started_at, 'finished' FROM dunlin.run r, "
      "generate_series(1, 10000) g");
  const TargetTaskResult refused = Adopt();
  ASSERT_TRUE(std::holds_alternative<Problem>(refused));
  EXPECT_THAT(std::get<Problem>(refused).message, HasSubstr("more than 10,000 runs"));
  EXPECT_EQ(Text("SELECT store_id FROM dunlin.meta"), former_);
  Exec("DELETE FROM dunlin.run WHERE name = 'r1'");
  MustAdopt();
}

TEST_F(AdoptTest, TheFormerStoreForgetsNothingThere) {
  PlanOneShard();
  MustAdopt();
  Exec("UPDATE dunlin.run SET outcome = 'finished'");
  EXPECT_TRUE(std::holds_alternative<Problem>(Ask(ForgetRun{.run = run_.id}, former_)));
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.shard"), 1);
  EXPECT_TRUE(std::holds_alternative<ForgottenRun>(Ask(ForgetRun{.run = run_.id})));
}

}  // namespace
}  // namespace dunlin::agent
