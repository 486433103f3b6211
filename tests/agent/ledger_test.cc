// The ledger protocol on a real server, one rule a test: what must hold whoever is slow, dead or
// two-faced.
#include <signal.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"

#include "agent/ledger/installer.h"
#include "agent/ledger/statements.h"
#include "common/pg/error.h"
#include "tests/agent/agent_fixture.h"
#include "tests/testlib/process.h"

namespace dunlin::agent {
namespace {

using ::testing::HasSubstr;

class LedgerTest : public AgentTest {
 protected:
  LedgerTest() {
    MakeItems(1'000);
    UseCountUp();
    shard_ = PlanOneShard();
  }
  LedgerShard shard_;
};

TEST_F(LedgerTest, I1_ABatchAndItsCheckpointAreOneTransaction) {
  Claimed claimed = ClaimAndPrepare(shard_, 1);
  ASSERT_TRUE(claimed.RunBatch(100).status.ok());
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 100);
  EXPECT_EQ(Text("SELECT cursor::text || ' ' || seq || ' ' || rows_done FROM dunlin.shard"),
            "{100} 1 100");
  // The statement fails: neither is there.
  Exec("ALTER TABLE items ADD CONSTRAINT one_bad CHECK (id <> 150 OR n = 0)");
  const BatchOutcome failed = claimed.RunBatch(100);
  EXPECT_EQ(pg::SqlStateOf(failed.status), "23514");
  EXPECT_FALSE(failed.in_doubt);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 100);
  EXPECT_EQ(Int("SELECT seq FROM dunlin.shard"), 1);
  // … and the session goes on.
  ASSERT_TRUE(claimed.RunBatch(49).status.ok());
  EXPECT_EQ(Int("SELECT seq FROM dunlin.shard"), 2);
}

TEST_F(LedgerTest, I1_ADeferredConstraintFailsBeforeTheCommitAndNotInIt) {
  Exec(
      "CREATE TABLE parents (id bigint PRIMARY KEY); INSERT INTO parents SELECT g FROM "
      "generate_series(0, 1000) g; ALTER TABLE items ADD parent bigint DEFAULT 0 REFERENCES "
      "parents DEFERRABLE INITIALLY DEFERRED; CREATE FUNCTION astray() RETURNS trigger LANGUAGE "
      "plpgsql AS $$ BEGIN NEW.parent := 5000; RETURN NEW; END $$; CREATE TRIGGER astray BEFORE "
      "UPDATE ON items FOR EACH ROW EXECUTE FUNCTION astray()");
  Claimed claimed = ClaimAndPrepare(shard_, 1);
  const BatchOutcome failed = claimed.RunBatch(100);
  EXPECT_EQ(pg::SqlStateOf(failed.status), "23503");
  EXPECT_FALSE(failed.in_doubt) << "an error of COMMIT itself would be in doubt";
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(LedgerTest, I1_TheTagOfACommitIsReadSinceARollbackAnswersSuccess) {
  const auto connection = OpenFor(shard_, 1);
  ASSERT_TRUE(connection->Query("BEGIN").ok());
  ASSERT_FALSE(connection->Query("SELECT 1 / 0").ok());
  auto commit = connection->Query("COMMIT");
  ASSERT_TRUE(commit.ok()) << "PostgreSQL answers success here";
  const absl::Status checked =
      CheckCommitted(pg::Outcome{.status = absl::OkStatus(), .result = *commit});
  EXPECT_TRUE(absl::IsAborted(checked)) << checked;
}

// Between the round trips of a batch an agent may be stopped, or its machine.
TEST_F(LedgerTest, I12_RowsOfASessionThatDoesNotGoOnAreFreeAgainWithinASecond) {
  const auto session = OpenFor(shard_, 1);
  EXPECT_EQ(session->Query("SHOW idle_in_transaction_session_timeout")->Text(0, 0), "800ms");
}

TEST_F(LedgerTest, I1_WithoutAnAnswerToTheCommitTheOutcomeIsInDoubt) {
  Exec(
      "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
      "pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$; CREATE "
      "CONSTRAINT TRIGGER die AFTER UPDATE ON dunlin.shard DEFERRABLE INITIALLY DEFERRED FOR EACH "
      "ROW WHEN (NEW.seq = 1) EXECUTE FUNCTION die()");
  Claimed claimed = ClaimAndPrepare(shard_, 1);
  const BatchOutcome lost = claimed.RunBatch(100);
  EXPECT_FALSE(lost.status.ok());
  EXPECT_TRUE(lost.in_doubt);
  EXPECT_EQ(claimed.state.checkpoint.seq, 0) << "nothing may be inferred";
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"),
            Int("SELECT rows_done FROM dunlin.shard"))
      << "rows and their checkpoint are one transaction";
}

// COMMIT waits for a standby that is not there; then its wait is ended.
class WaitingCommit : public LedgerTest {
 protected:
  // The checkpointer takes the setting in when it comes to it.
  void WaitUntilCommitsWait() {
    const std::string waiting =
        "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'probe'";
    EXPECT_TRUE(testing::Eventually(absl::Seconds(20), [&] {
      auto probe = server_.Connect("app");
      EXPECT_TRUE(probe->Query("SET application_name = 'probe'").ok());
      EXPECT_TRUE(
          probe->Send({.name = "", .sql = "SELECT pg_logical_emit_message(true, '', '')"}, {})
              .ok());
      const auto answer = probe->Receive(absl::Milliseconds(200));
      EXPECT_TRUE(answer.ok());
      const bool waits = answer.ok() && !answer->has_value();
      Exec("SELECT pg_cancel_backend(pid) " + waiting);
      return waits;
    }));
  }
  void LoseTheStandby() {
    Exec("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    Exec("SELECT pg_reload_conf()");
    WaitUntilCommitsWait();
  }
  void EndTheWait(const std::string& how) {
    const std::string waiting =
        "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE 'dunlin/2%'";
    EXPECT_TRUE(testing::Eventually(absl::Seconds(20),
                                    [&] { return Int("SELECT count(*) " + waiting) == 1; }));
    Exec("SELECT " + how + "(pid) " + waiting);
  }
  BatchOutcome CommitAndEndTheWait(const std::string& how) {
    Claimed claimed = ClaimAndPrepare(shard_, 1);
    LoseTheStandby();
    BatchOutcome outcome;
    std::jthread running([&] { outcome = claimed.RunBatch(100); });
    EndTheWait(how);
    running.join();
    EXPECT_EQ(claimed.state.checkpoint.seq, 0) << "nothing may be inferred";
    return outcome;
  }
};

TEST_F(WaitingCommit, I1_I4_ACommitThatIsDurableOnlyHereIsInDoubt) {
  const BatchOutcome outcome = CommitAndEndTheWait("pg_cancel_backend");
  EXPECT_FALSE(outcome.status.ok());
  EXPECT_TRUE(outcome.in_doubt);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 100) << "committed, locally";
}

// Of a single statement the transaction ends behind its answer.
TEST_F(LedgerTest, AStatementWhoseTransactionFailsAtItsEndHasFailed) {
  Exec(
      "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent "
      "DEFERRABLE INITIALLY DEFERRED)");
  const auto connection = server_.Connect("app");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(pg::SqlStateOf(connection->Query("INSERT INTO child VALUES (1)").status()), "23503");
    ASSERT_FALSE(connection->broken());
  }
  EXPECT_TRUE(connection->Query("SELECT 1").ok());
}

TEST_F(WaitingCommit, I4_AClaimThatIsDurableOnlyHereDoesNotCount) {
  const auto connection = OpenFor(shard_, 1);
  LoseTheStandby();
  absl::Status claimed;
  std::jthread running([&] { claimed = Claim(*connection, shard_, 1).status(); });
  EndTheWait("pg_cancel_backend");
  running.join();
  EXPECT_TRUE(absl::IsUnavailable(claimed)) << claimed;
  EXPECT_EQ(Int("SELECT epoch FROM dunlin.shard"), 1) << "committed, locally";
}

TEST_F(WaitingCommit, I4_NorOneThatHadToWaitForAHungOwner) {
  const auto connection = OpenFor(shard_, 1), hung = server_.Connect("app");
  ASSERT_TRUE(hung->Query("BEGIN").ok());
  ASSERT_TRUE(hung->Query("SELECT FROM dunlin.shard FOR UPDATE").ok());
  absl::Status claimed;
  std::jthread running([&] { claimed = Claim(*connection, shard_, 1).status(); });
  // It has given up once, and waits without an end of its own.
  EXPECT_TRUE(testing::Eventually(absl::Seconds(20), [&] {
    return Int("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dunlin/%' AND "
               "application_name NOT LIKE 'dunlin/2%'") > 0;
  }));
  LoseTheStandby();
  ASSERT_TRUE(hung->Query("ROLLBACK").ok());
  EndTheWait("pg_cancel_backend");
  running.join();
  EXPECT_TRUE(absl::IsUnavailable(claimed)) << claimed;
}

// A trigger that warns has the same SQLSTATE as a commit that is durable here only.
constexpr const char* kWarnPerRow =
    "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'w'; RETURN "
    "NEW; END $$; CREATE TRIGGER warn BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION warn()";

TEST_F(WaitingCommit, I4_ItsWarningIsNotLostBehindOthers) {
  Exec(kWarnPerRow);
  const BatchOutcome outcome = CommitAndEndTheWait("pg_cancel_backend");
  EXPECT_FALSE(outcome.status.ok());
  EXPECT_TRUE(outcome.in_doubt);
}

TEST_F(LedgerTest, WarningsOfTheApplicationAreNoDoubt) {
  Exec(kWarnPerRow);
  Claimed claimed = ClaimAndPrepare(shard_, 1);
  for (int batch = 0; batch < 3; ++batch) {
    const BatchOutcome outcome = claimed.RunBatch(100);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_FALSE(outcome.in_doubt);
  }
  EXPECT_EQ(claimed.state.checkpoint.seq, 3);
}

TEST_F(LedgerTest, AWarningAtLoginIsNoDoubt) {
  if (Int("SELECT current_setting('server_version_num')::int") < 150000) GTEST_SKIP();
  Exec("UPDATE pg_database SET datcollversion = '1' WHERE datname = 'app'");
  const ShardOutcome outcome = Work(shard_, 1);
  EXPECT_TRUE(outcome.done) << outcome.problem.message;
}

TEST_F(WaitingCommit, I1_ALostAnswerToCommitIsInDoubt) {
  const BatchOutcome outcome = CommitAndEndTheWait("pg_terminate_backend");
  EXPECT_FALSE(outcome.status.ok());
  EXPECT_TRUE(outcome.in_doubt);
}

TEST_F(LedgerTest, I3_ABatchOfAnOlderEpochCannotCommitAfterANewerClaim) {
  Claimed zombie = ClaimAndPrepare(shard_, 1);
  ASSERT_TRUE(zombie.RunBatch(100).status.ok());
  Claimed owner = ClaimAndPrepare(shard_, 2);
  EXPECT_EQ(owner.state.checkpoint.seq, 1) << "the claim returns what was committed";
  const BatchOutcome refused = zombie.RunBatch(100);
  EXPECT_EQ(pg::SqlStateOf(refused.status), "DN001");
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 100);
  // Also when the newer owner has done nothing yet, or has gone exactly as far.
  ASSERT_TRUE(owner.RunBatch(100).status.ok());
  zombie.state.checkpoint = owner.state.checkpoint;
  EXPECT_EQ(pg::SqlStateOf(zombie.RunBatch(100).status), "DN001");
  EXPECT_EQ(Int("SELECT max(n) FROM items"), 1);
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), 200);
}

TEST_F(LedgerTest, I3_ABatchWithAnOldSeqOrUpperIsRefusedUnderItsOwnEpochToo) {
  Claimed claimed = ClaimAndPrepare(shard_, 1);
  const ShardState before = claimed.state;
  ASSERT_TRUE(claimed.RunBatch(100).status.ok());
  claimed.state = before;
  EXPECT_EQ(pg::SqlStateOf(claimed.RunBatch(100).status), "DN001");
  Exec("UPDATE dunlin.shard SET upper = '{500}'");
  claimed.state.checkpoint.seq = 1;
  claimed.state.checkpoint.cursor = KeyText({"100"});
  EXPECT_EQ(pg::SqlStateOf(claimed.RunBatch(100).status), "DN001");
  EXPECT_EQ(Int("SELECT max(n) FROM items"), 1);
}

TEST_F(LedgerTest, I3_AClaimWaitsForTheBatchInFlightAndSeesWhatItCommitted) {
  const auto former = OpenFor(shard_, 1);
  ASSERT_TRUE(Claim(*former, shard_, 1).ok());
  ASSERT_TRUE(former->Query("BEGIN").ok());
  ASSERT_TRUE(former
                  ->Query(absl::StrCat("SELECT dunlin.fence('", shard_.id.value(),
                                       "', 1, 0, '{1000}', 5000)"))
                  .ok());
  const auto owner = OpenFor(shard_, 2);
  absl::StatusOr<std::variant<ClaimedShard, Problem>> answer = absl::UnknownError("not yet");
  std::jthread claiming([&] { answer = Claim(*owner, shard_, 2, /*may_terminate=*/false); });
  ASSERT_TRUE(testing::Eventually(absl::Seconds(20), [&] {
    return Int(absl::StrCat("SELECT cardinality(pg_blocking_pids(", owner->backend_pid(), "))")) ==
           1;
  }));
  ASSERT_TRUE(former
                  ->Query(absl::StrCat("SELECT dunlin.advance('", shard_.id.value(),
                                       "', 1, '{42}', 42, 42, false, 5000)"))
                  .ok());
  ASSERT_TRUE(former->Query("COMMIT").ok());
  claiming.join();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(std::get<ClaimedShard>(*answer).checkpoint.seq, 1);
  EXPECT_EQ(std::get<ClaimedShard>(*answer).checkpoint.cursor, OptionalKey(KeyText({"42"})));
}

// The fence's lock is held before any row is touched, and until the end.
TEST_F(LedgerTest, I3_AClaimWaitsForABatchThatIsStillTouchingRows) {
  Exec(
      "CREATE TABLE gate AS SELECT 1 AS shut; CREATE FUNCTION linger() RETURNS trigger LANGUAGE "
      "plpgsql AS $$ BEGIN "
      "WHILE EXISTS (SELECT 1 FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NEW; "
      "END $$; CREATE TRIGGER linger BEFORE UPDATE ON items FOR EACH ROW WHEN (NEW.id = 1) EXECUTE "
      "FUNCTION linger()");
  Claimed former = ClaimAndPrepare(shard_, 1);
  former.runner = std::make_unique<BatchRunner>(*former.connection, *former.sql,
                                                definition_.durability, absl::Minutes(1));
  const auto owner = OpenFor(shard_, 2);
  BatchOutcome batch;
  std::jthread running([&] { batch = former.RunBatch(100); });
  ASSERT_TRUE(testing::Eventually(absl::Seconds(20), [&] {
    return Int("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1;
  }));
  absl::StatusOr<std::variant<ClaimedShard, Problem>> answer = absl::UnknownError("not yet");
  std::atomic<bool> claimed = false;
  std::jthread claiming([&] {
    answer = Claim(*owner, shard_, 2, /*may_terminate=*/false);
    claimed = true;
  });
  const std::string blocking =
      absl::StrCat("SELECT cardinality(pg_blocking_pids(", owner->backend_pid(), "))");
  ASSERT_TRUE(
      testing::Eventually(absl::Seconds(20), [&] { return claimed || Int(blocking) == 1; }));
  EXPECT_FALSE(claimed) << "it did not wait";
  Exec("DELETE FROM gate");
  running.join();
  claiming.join();
  EXPECT_TRUE(batch.status.ok()) << batch.status;
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(std::get<ClaimedShard>(*answer).checkpoint.seq, 1);
}

TEST_F(LedgerTest, I3_AHungFormerOwnerIsTerminatedAndOnlyThat) {
  const auto hung = OpenFor(shard_, 1);
  ASSERT_TRUE(Claim(*hung, shard_, 1).ok());
  ASSERT_TRUE(hung->Query("BEGIN").ok());
  ASSERT_TRUE(hung->Query(absl::StrCat("SELECT dunlin.fence('", shard_.id.value(),
                                       "', 1, 0, '{1000}', 600000)"))
                  .ok());
  // Another shard's session, and one of a newer owner of the same: neither blocks, neither dies.
  const auto other = OpenFor({.id = ShardId("00000000-0000-4000-8000-000000000000")}, 1);
  const auto newer = OpenFor(shard_, 3);
  const auto owner = OpenFor(shard_, 2);
  const auto answer = Claim(*owner, shard_, 2);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(std::holds_alternative<ClaimedShard>(*answer));
  EXPECT_FALSE(hung->Query("COMMIT").ok());
  EXPECT_TRUE(other->Query("SELECT 1").ok());
  EXPECT_TRUE(newer->Query("SELECT 1").ok());
}

TEST_F(LedgerTest, I3_AnApplicationThatBlocksAClaimIsNeverTerminated) {
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("BEGIN").ok());
  ASSERT_TRUE(application->Query("SELECT * FROM dunlin.shard FOR UPDATE").ok());
  const auto owner = OpenFor(shard_, 1);
  absl::StatusOr<std::variant<ClaimedShard, Problem>> answer = absl::UnknownError("not yet");
  std::stop_source stop;
  std::jthread claiming([&] {
    const auto handle = Grant(shard_, 1);
    answer = ClaimShard(
        *owner, *sessions_, run_, std::get<ShardWork>(handle->lease().work), [] { return true; },
        stop.get_token());
  });
  // It has waited once, and now waits again beside the connection that would terminate.
  ASSERT_TRUE(testing::Eventually(absl::Seconds(20), [&] {
    return Int("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_terminate_backend%' "
               "AND pid <> pg_backend_pid()") > 0;
  }));
  EXPECT_TRUE(application->Query("COMMIT").ok());
  claiming.join();
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(LedgerTest, I3_AClaimWithTheSameOrALowerEpochIsRefusedAndSaysTheLedgers) {
  ASSERT_EQ(ClaimAndPrepare(shard_, 7).problem.kind, Problem::Kind::kNone);
  for (const int64_t epoch : {7, 3}) {
    const Claimed refused = ClaimAndPrepare(shard_, epoch);
    EXPECT_EQ(refused.problem.kind, Problem::Kind::kStaleEpoch);
    EXPECT_EQ(refused.problem.ledger_epoch, Epoch(7));
  }
}

TEST_F(LedgerTest, I3_AClaimNeverInsertsAndOtherBoundsAreAMismatch) {
  LedgerShard other = shard_;
  other.upper = KeyText({"900"});
  EXPECT_EQ(ClaimAndPrepare(other, 1).problem.kind, Problem::Kind::kLedgerMismatch);
  other = shard_;
  other.id = ShardId(MakeUuid());
  EXPECT_EQ(ClaimAndPrepare(other, 1).problem.kind, Problem::Kind::kLedgerMismatch);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.shard"), 1);
  EXPECT_EQ(Int("SELECT epoch FROM dunlin.shard"), 0);
}

TEST_F(LedgerTest, I9_AClaimUnderAnotherDigestIsRefused) {
  run_.digest = std::string(64, '0');
  EXPECT_EQ(ClaimAndPrepare(shard_, 1).problem.kind, Problem::Kind::kLedgerMismatch);
}

TEST_F(LedgerTest, I5_TheCursorOnlyRises) {
  // Every write of a cursor is noted by the database; epochs come and go in between.
  Exec(
      "CREATE TABLE cursors (at serial, key bigint); CREATE FUNCTION note() RETURNS trigger "
      "LANGUAGE plpgsql AS $$ BEGIN INSERT INTO cursors (key) VALUES (NEW.cursor[1]::bigint); "
      "RETURN NULL; END $$; CREATE TRIGGER note AFTER UPDATE ON dunlin.shard FOR EACH ROW WHEN "
      "(NEW.cursor IS NOT NULL) EXECUTE FUNCTION note()");
  for (int64_t epoch = 1; epoch <= 8; ++epoch) {
    Claimed claimed = ClaimAndPrepare(shard_, epoch);
    ASSERT_TRUE(claimed.RunBatch(60).status.ok());
    ASSERT_TRUE(claimed.RunBatch(60).status.ok());
  }
  EXPECT_TRUE(Work(shard_, 9).done);
  EXPECT_EQ(Int("SELECT count(*) FROM (SELECT key < lag(key) OVER (ORDER BY at) AS back FROM "
                "cursors) c WHERE back"),
            0);
  EXPECT_EQ(Int("SELECT max(key) FROM cursors"), 1'000);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(LedgerTest, TheDbasSwitchIsReadByTheFence) {
  Claimed claimed = ClaimAndPrepare(shard_, 1);
  Exec("SELECT dunlin.stop('on fire')");
  const BatchOutcome stopped = claimed.RunBatch(100);
  EXPECT_EQ(pg::SqlStateOf(stopped.status), "DN002");
  EXPECT_THAT(std::string(stopped.status.message()), HasSubstr("on fire"));
  Exec("SELECT dunlin.go()");
  EXPECT_TRUE(claimed.RunBatch(100).status.ok());
  Exec("SELECT dunlin.stop('only that', 'another')");
  EXPECT_TRUE(claimed.RunBatch(100).status.ok());
  Exec(absl::StrCat("SELECT dunlin.stop('this one', '", run_.migration, "')"));
  EXPECT_EQ(pg::SqlStateOf(claimed.RunBatch(100).status), "DN002");
  Exec(absl::StrCat("SELECT dunlin.go('", run_.migration, "')"));
  EXPECT_TRUE(claimed.RunBatch(100).status.ok());
}

TEST_F(LedgerTest, TheLedgersSqlCanRunAgainAndAgain) {
  const auto connection = server_.Connect("app");
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(connection->ExecuteScript(LedgerSql("postgres")).ok());
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin.shard"), 1);
}

TEST_F(LedgerTest, Trap20_ASecondStoreIsRefusedAndTheFirstIsNamed) {
  RunSpec other = run_;
  other.store_id = "22222222-2222-4222-8222-222222222222";
  other.store_name = "staging";
  std::swap(run_, other);
  const TaskResult refused = Task(TaskKind::kPreflight);
  ASSERT_TRUE(std::holds_alternative<Problem>(refused));
  EXPECT_EQ(std::get<Problem>(refused).kind, Problem::Kind::kStoreRefused);
  EXPECT_THAT(std::get<Problem>(refused).message, HasSubstr("test"));
}

TEST_F(LedgerTest, I12_ABatchDoesNotWaitForARowLongerThanItsLockTimeout) {
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("BEGIN").ok());
  ASSERT_TRUE(application->Query("UPDATE items SET n = n WHERE id = 50").ok());
  Claimed claimed = ClaimAndPrepare(shard_, 1);
  EXPECT_EQ(claimed.connection->Query("SHOW lock_timeout")->Text(0, 0), "100ms");
  EXPECT_EQ(pg::SqlStateOf(claimed.RunBatch(100).status), "55P03");
  ASSERT_TRUE(application->Query("COMMIT").ok());
  EXPECT_TRUE(claimed.RunBatch(100).status.ok());
}

class Budget : public AgentTest {};

TEST_F(Budget, I12_AllStatementsOfABatchTogetherStayBelowTheBudget) {
  MakeItems(100);
  // Each alone would be far below it.
  UseFile(
      "description: Slow\ntable: items\nbatch:\n"
      "  - SELECT pg_sleep(0.3) FROM items WHERE id = 1 AND :batch\n"
      "  - SELECT pg_sleep(0.3) FROM items WHERE id = 1 AND :batch\n"
      "  - UPDATE items SET n = n + 1 WHERE :batch\n"
      "  - SELECT pg_sleep(0.3) FROM items WHERE id = 1 AND :batch\n");
  const LedgerShard shard = PlanOneShard();
  Claimed claimed = ClaimAndPrepare(shard, 1);
  EXPECT_EQ(pg::SqlStateOf(claimed.RunBatch(100).status), "57014");
  EXPECT_EQ(RowsNot(0), 0);
}

TEST_F(Budget, AListOfLocksIsTakenBeforeAnythingIsChanged) {
  MakeItems(100);
  UseFile(
      "description: x\ntable: items\nlock:\n"
      "  - SELECT 1 FROM items WHERE :batch ORDER BY id FOR UPDATE\n"
      "batch: UPDATE items SET n = n + 1 WHERE :batch\n");
  const LedgerShard shard = PlanOneShard();
  Claimed claimed = ClaimAndPrepare(shard, 1);
  ASSERT_TRUE(claimed.connection->Query("BEGIN").ok());
  const KeyText upper({"50"});
  const BoundStatement& first = *claimed.sql->BatchStatements(std::nullopt, upper).front();
  const pg::Command command = claimed.sql->Bind(first, std::nullopt, OptionalKey(upper));
  ASSERT_TRUE(claimed.connection->Execute(command.statement, command.parameters).ok());
  EXPECT_EQ(claimed.connection->Query("SELECT max(n) FROM items")->Int(0, 0), 0);
  const auto application = server_.Connect("app");
  ASSERT_TRUE(application->Query("SET lock_timeout = '200ms'").ok());
  EXPECT_EQ(pg::SqlStateOf(application->Query("UPDATE items SET n = 7 WHERE id = 10").status()),
            "55P03");
  EXPECT_TRUE(application->Query("UPDATE items SET n = 7 WHERE id = 60").ok());
}

// Cycles that are certain: the application holds the last row of a batch, which holds the first and
// waits for the last, and then the application asks for the first. Each ends with the batch.
TEST_F(Budget, I12_AThousandConflictsAndTheApplicationIsNeverTheVictimOfADeadlock) {
  constexpr int kConflicts = 1'000;
  constexpr size_t kAtOnce = 6;
  constexpr int kBatchRows = 20;
  MakeItems(250'000);
  UseCountUp();
  Exec("ALTER TABLE items ADD seen int NOT NULL DEFAULT 0");
  const std::vector<LedgerShard> shards = PlanRun();
  ASSERT_GE(shards.size(), kAtOnce);
  std::atomic<int> conflicts = 0;
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < kAtOnce; ++i) {
      threads.emplace_back([&, i] {
        const LedgerShard& shard = shards[i];
        Claimed claimed = ClaimAndPrepare(shard, 1);
        const std::string batch_pid = absl::StrCat(claimed.connection->backend_pid());
        const auto application = server_.Connect("app");
        const auto first = application->Query(
            absl::StrCat("SELECT coalesce(lower[1]::bigint, 0) + 1 FROM dunlin.shard WHERE id = '",
                         shard.id.value(), "'"));
        ASSERT_TRUE(first.ok()) << first.status();
        const auto touch = [&](int64_t id) {
          return application->Query(
              absl::StrCat("UPDATE items SET seen = seen + 1 WHERE id = ", id));
        };
        while (conflicts++ < kConflicts) {
          ASSERT_TRUE(application->Query("BEGIN").ok());
          ASSERT_TRUE(touch(first->Int(0, 0) + kBatchRows - 1).ok());
          BatchOutcome outcome;
          std::atomic<bool> ended = false;
          std::jthread batch([&] {
            outcome = claimed.RunBatch(kBatchRows);
            ended = true;
          });
          const std::string waits =
              absl::StrCat("SELECT pg_backend_pid() = ANY (pg_blocking_pids(", batch_pid, "))");
          ASSERT_TRUE(testing::Eventually(
              absl::Seconds(20), [&] { return ended || application->Query(waits)->Bool(0, 0); }));
          if (ended) {  // on a slow machine before anybody has looked: that was no conflict
            ASSERT_TRUE(application->Query("ROLLBACK").ok());
            --conflicts;
            continue;
          }
          const auto second = touch(first->Int(0, 0));
          EXPECT_TRUE(second.ok()) << second.status();
          ASSERT_TRUE(application->Query("COMMIT").ok());
          batch.join();
          ASSERT_EQ(pg::SqlStateOf(outcome.status), "55P03") << outcome.status;
        }
      });
    }
  }
  EXPECT_EQ(Int("SELECT sum(seen) FROM items"), 2 * kConflicts);
  EXPECT_EQ(RowsNot(0), 0);
}

// With `relaxed`, and a WAL writer that sleeps, the last commits of a crash are lost: data and
// checkpoint together.
class OffByDefault : public AgentTest {
 protected:
  OffByDefault()
      : AgentTest(
            {"synchronous_commit=off", "wal_writer_delay=10s", "wal_writer_flush_after=1GB"}) {}
};

TEST_F(OffByDefault, I4_DoneIsDurableWhateverTheServersDefault) {
  MakeItems(1'000);
  UseCountUp();
  const LedgerShard shard = PlanOneShard();
  Exec("CHECKPOINT");
  EXPECT_TRUE(Work(shard, 1).done);
  server_.CrashAndRestart();
  EXPECT_EQ(Text("SELECT done::text FROM dunlin.shard"), "true");
  EXPECT_EQ(RowsNot(1), 0);
}

// Keys travel as text: a server that writes them otherwise, or short of their last digits, may not
// move an end of a shard.
class OddDefaults : public AgentTest {
 protected:
  OddDefaults()
      : AgentTest({"extra_float_digits=-15", "DateStyle=SQL,DMY", "TimeZone=America/St_Johns",
                   "IntervalStyle=sql_standard", "bytea_output=escape",
                   "default_transaction_isolation=serializable"}) {}
};

TEST_F(OddDefaults, I1_KeysOfEachTypeAreWhatTheyAre) {
  for (const char* key :
       {"g / 3.0::double precision", "g / 3.0::real",
        "'2020-02-01 00:00+00'::timestamptz + g * interval '31 hours 7.25 seconds'",
        "decode(lpad(to_hex(g * 7919), 8, '0'), 'hex')", "make_interval(hours => g, secs => g / 7)",
        "'2020-01-01'::date + g"}) {
    Exec(
        absl::StrCat("DROP SCHEMA IF EXISTS dunlin CASCADE; DROP TABLE IF EXISTS items; "
                     "CREATE TABLE items AS SELECT ",
                     key,
                     " AS id, 0 AS n FROM generate_series(1, 700) g; ALTER TABLE items ADD PRIMARY "
                     "KEY (id), ALTER n SET NOT NULL; ANALYZE items"));
    run_.id = RunId(MakeUuid());
    task_epoch_ = 0;
    UseCountUp();
    for (const LedgerShard& shard : PlanRun()) EXPECT_TRUE(Work(shard, 1).done) << key;
    EXPECT_EQ(RowsNot(1), 0) << key;
  }
}

class Relaxed : public AgentTest {
 protected:
  Relaxed() : AgentTest({"wal_writer_delay=10s", "wal_writer_flush_after=1GB"}) {
    MakeItems(1'000);
    UseCountUp("durability: relaxed\n");
    shard_ = PlanOneShard();
  }
  LedgerShard shard_;
};

TEST_F(Relaxed, I4_AOnceStepIsDurableWhenItIsDone) {
  Exec("CREATE TABLE log (what text)");
  UseFile(
      "description: x\ndurability: relaxed\nsteps:\n"
      "  - once: INSERT INTO log VALUES ('done')\n");
  run_.id = RunId(MakeUuid());
  run_.migration = "20261123120009_once";
  const LedgerShard shard = PlanOneShard();
  Exec("CHECKPOINT");
  EXPECT_TRUE(Work(shard, 1).done);
  server_.CrashAndRestart();
  EXPECT_EQ(Int("SELECT count(*) FROM log"), 1);
}

TEST_F(Relaxed, I1_DataAndCheckpointAreLostOrKeptTogether) {
  Claimed claimed = ClaimAndPrepare(shard_, 1);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(claimed.RunBatch(100).status.ok());
  server_.CrashAndRestart();
  const int64_t kept = Int("SELECT rows_done FROM dunlin.shard");
  EXPECT_LT(kept, 500) << "the crash took nothing: this test shows nothing";
  EXPECT_EQ(Int("SELECT count(*) FROM items WHERE n = 1"), kept);
  EXPECT_TRUE(Work(shard_, 2).done);
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(Relaxed, I4_DoneIsDurableWhenItIsReported) {
  EXPECT_TRUE(Work(shard_, 1).done);
  server_.CrashAndRestart();
  EXPECT_EQ(Text("SELECT done::text FROM dunlin.shard"), "true");
  EXPECT_EQ(RowsNot(1), 0);
}

TEST_F(Relaxed, I4_DoneThatAnotherWroteIsReportedOnlyAfterAWriteOfOnesOwn) {
  const auto former = OpenFor(shard_, 1);
  ASSERT_TRUE(Claim(*former, shard_, 1).ok());
  ASSERT_TRUE(former->Query("SET synchronous_commit = off").ok());
  ASSERT_TRUE(former
                  ->Query("WITH u AS (UPDATE items SET n = n + 1) UPDATE dunlin.shard SET cursor = "
                          "upper, seq = 1, rows_done = 1000, done = true")
                  .ok());
  EXPECT_TRUE(Work(shard_, 2).done);
  server_.CrashAndRestart();
  EXPECT_EQ(Text("SELECT done::text FROM dunlin.shard"), "true");
  EXPECT_EQ(RowsNot(1), 0);
}

}  // namespace
}  // namespace dunlin::agent
