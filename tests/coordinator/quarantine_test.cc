// Rows that agents set aside, in a real store: what stops a run, what a person may say.
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::HasSubstr;

class QuarantineStoreTest : public StoreTest {
 protected:
  QuarantineStoreTest() : store_(MakeStore()), port_(MakeStorePort(*store_)) {}
  void StartAndWork(ScriptedAgent& agent, const std::string& more = "") {
    Start(*store_, more);
    ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
    agent.Step();
    ASSERT_GT(agent.shards_held(), 0);
  }
  template <typename Request>
  Request Command(const std::string& reason, const std::string& who = "ada") {
    Request request;
    request.set_request_id(MakeUuid());
    request.set_operator_name(who);
    request.set_reason(reason);
    request.set_run(kMigration);
    return request;
  }
  absl::Status Retry() {
    return store_->RetryQuarantinedRows(Command<pb::RetryQuarantinedRowsRequest>("mended"), {})
        .status();
  }
  absl::Status AcceptAll(const std::string& reason = "known bad") {
    return store_->AcceptQuarantinedRows(Command<pb::AcceptQuarantinedRowsRequest>(reason), {})
        .status();
  }
  std::vector<pb::QuarantinedRow> List() {
    pb::ListQuarantinedRowsRequest request;
    request.set_run(kMigration);
    request.set_page_size(2);
    std::vector<pb::QuarantinedRow> all;
    do {
      const auto page = store_->ListQuarantinedRows(request);
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) break;
      all.insert(all.end(), page->rows().begin(), page->rows().end());
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return all;
  }
  std::unique_ptr<Store> store_;
  std::unique_ptr<AgentPort> port_;
};

TEST_F(QuarantineStoreTest, ARunWithRowsSetAsideEndsPausedAndARetryLetsItFinish) {
  FakeLedger ledger(60, 2);
  ScriptedAgent agent(*port_, ledger, {});
  StartAndWork(agent);
  EXPECT_FALSE(agent.SetAside("23514"));
  EXPECT_FALSE(agent.SetAside("22P02", 2));
  EXPECT_EQ(Get(*store_).rows_quarantined(), 3);
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
  EXPECT_FALSE(ledger.finished());
  const std::string error = Get(*store_).error();
  EXPECT_THAT(error, HasSubstr("everything is done but rows that are set aside: 2 × "));
  EXPECT_THAT(error, HasSubstr("; 1 × check violation (23514) of constraint no_luck"));
  const auto resumed = Resume(*store_);
  EXPECT_TRUE(absl::IsFailedPrecondition(resumed.status())) << resumed.status();
  // It fails again, and pauses again; then what failed is mended.
  ASSERT_TRUE(Retry().ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  EXPECT_EQ(List().size(), 2u);
  agent.options().retries_succeed = true;
  ASSERT_TRUE(Retry().ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_TRUE(List().empty());
  EXPECT_EQ(Get(*store_).rows_quarantined(), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(Retry()));
  ExpectEventsInOrder(Get(*store_).run_id());
}

TEST_F(QuarantineStoreTest, AcceptedRowsStayAndVerifyMayFindThem) {
  FakeLedger ledger(60, 2);
  ScriptedAgent agent(*port_, ledger, {});
  StartAndWork(agent, "verify: SELECT count(*) FROM t WHERE n <> 1 AND :batch\n");
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(agent.SetAside("23514"));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  EXPECT_TRUE(absl::IsInvalidArgument(AcceptAll("")));
  agent.options().verify_found = 1;  // in each of the two shards: two rows, and four are accepted
  ASSERT_TRUE(AcceptAll().ok());
  EXPECT_EQ(List().at(0).state(), pb::QuarantinedRow::STATE_ACCEPTING);
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  EXPECT_THAT(Get(*store_).error(), HasSubstr("verify found 2, and 4 rows are accepted"));
  EXPECT_EQ(Get(*store_).rows_accepted(), 4);
  agent.options().verify_found = 2;
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  const std::vector<pb::QuarantinedRow> rows = List();
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].state(), pb::QuarantinedRow::STATE_ACCEPTED);
  EXPECT_EQ(rows[0].accepted_by(), "ada");
  EXPECT_EQ(rows[0].accepted_reason(), "known bad");
  EXPECT_EQ(Get(*store_).rows_quarantined(), 4);
}

TEST_F(QuarantineStoreTest, Trap07_OneMoreThanAllowedStopsAtOnceAndAcceptingMakesRoom) {
  FakeLedger ledger(4000, 2);
  ScriptedAgent agent(*port_, ledger, {});
  StartAndWork(agent, "limits: {max_quarantined: 2}\n");
  EXPECT_FALSE(agent.SetAside("23514"));
  EXPECT_FALSE(agent.SetAside("23514"));
  EXPECT_TRUE(agent.SetAside("23514"));
  EXPECT_EQ(State(*store_), "PAUSING");
  EXPECT_THAT(Get(*store_).error(), HasSubstr("3 rows are set aside, more than "));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  ASSERT_TRUE(AcceptAll().ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  agent.Step();
  EXPECT_FALSE(agent.SetAside("23514"));
}

TEST_F(QuarantineStoreTest, Trap07_TheBreakerCountsSinceTheRunWasResumed) {
  FakeLedger ledger(4000, 1);
  ScriptedAgent agent(*port_, ledger, {.rows_per_batch = 50});
  StartAndWork(agent, "limits: {max_quarantined: 10000}\n");  // 50 rows have passed
  EXPECT_FALSE(agent.SetAside("23514", 12));
  EXPECT_TRUE(agent.SetAside("23514", 1));
  EXPECT_THAT(Get(*store_).error(), HasSubstr("13 of the 50 rows since it was started or resumed"));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  EXPECT_FALSE(agent.SetAside("23514", 1)) << "what came before does not count";
  agent.Work();
  EXPECT_FALSE(agent.SetAside("23514", 11));
  EXPECT_TRUE(agent.SetAside("23514", 1));
}

TEST_F(QuarantineStoreTest, I6_ACommandThatCameWhileATaskWasInWorkIsNotLost) {
  FakeLedger ledger(20, 1);
  ScriptedAgent agent(*port_, ledger, {});
  StartAndWork(agent);
  EXPECT_FALSE(agent.SetAside("23514"));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  ASSERT_TRUE(Retry().ok());
  const auto leased = [&] {
    return Int("SELECT count(*) FROM dunlin_store.task WHERE kind = 'quarantine' AND lease_id IS "
               "NOT NULL") > 0;
  };
  for (int i = 0; i < 20 && !leased(); ++i) {
    agent.Work();
    agent.Heartbeat();
    agent.Acquire();
  }
  ASSERT_TRUE(leased());
  ASSERT_TRUE(Retry().ok());  // the task in work may have tried the row before it was mended
  agent.Work();               // it failed
  agent.options().retries_succeed = true;
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
}

TEST_F(QuarantineStoreTest, ARowThatIsReportedWhileATaskLooksAtTheLedgerStays) {
  FakeLedger ledger(4000, 1);
  ScriptedAgent agent(*port_, ledger, {.retries_succeed = true});
  StartAndWork(agent);
  EXPECT_FALSE(agent.SetAside("23514"));
  ASSERT_TRUE(Retry().ok());
  agent.Acquire();  // the retry is leased beside the shard
  const std::string late = MakeUuid();
  EXPECT_FALSE(agent.SetAside("22P02", 1, late));
  agent.Overlook(late);
  agent.Work();
  const std::vector<pb::QuarantinedRow> rows = List();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].quarantine_id(), late);
}

TEST_F(QuarantineStoreTest, RowsThatTheLedgerDoesNotHaveAreForgottenAndOthersAreLearned) {
  FakeLedger ledger(2000, 2);
  ScriptedAgent agent(*port_, ledger, {});
  StartAndWork(agent);
  EXPECT_FALSE(agent.SetAside("23514"));
  EXPECT_FALSE(agent.SetAside("22P02"));
  Exec("UPDATE dunlin_store.quarantine SET id = gen_random_uuid() WHERE sqlstate = '22P02'");
  ASSERT_TRUE(agent.ReleaseOneWith(agent_pb::Problem::KIND_LEDGER_MISMATCH, "other bounds"));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  const std::vector<pb::QuarantinedRow> rows = List();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.event WHERE kind = 'reconciled'"), 1);
}

TEST_F(QuarantineStoreTest, AFileMayBeReplacedWhileBatchesOnlySetRowsAside) {
  FakeLedger ledger(2000, 1);
  ScriptedAgent agent(*port_, ledger, {.rows_per_batch = 1});
  Start(*store_);
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  EXPECT_FALSE(agent.SetAside("23514"));  // that one batch
  ASSERT_EQ(Int("SELECT max(seq) FROM dunlin_store.shard"), 1);
  const auto edited = store_->StartRun(StartRequest("owner: payments\n"), {});
  EXPECT_TRUE(edited.ok()) << edited.status();
}

TEST_F(QuarantineStoreTest, EachCommandIsNotedWithWhoGaveItWhyAndFromWhere) {
  FakeLedger ledger(60, 2);
  ScriptedAgent agent(*port_, ledger, {});
  StartAndWork(agent);
  EXPECT_FALSE(agent.SetAside("23514"));
  const auto pause = Command<pb::PauseRunRequest>("slow", "bea");
  ASSERT_TRUE(store_->PauseRun(pause, {.peer = "pc-bea"}).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  const auto resume = Command<pb::ResumeRunRequest>("calm", "cyd");
  ASSERT_TRUE(store_->ResumeRun(resume, {.peer = "pc-cyd"}).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));  // all done but that row
  const auto retry = Command<pb::RetryQuarantinedRowsRequest>("mended", "dan");
  ASSERT_TRUE(store_->RetryQuarantinedRows(retry, {.peer = "pc-dan"}).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  const auto accept = Command<pb::AcceptQuarantinedRowsRequest>("known", "eve");
  ASSERT_TRUE(store_->AcceptQuarantinedRows(accept, {.peer = "pc-eve"}).ok());
  const auto cancel = Command<pb::CancelRunRequest>("enough", "fay");
  ASSERT_TRUE(store_->CancelRun(cancel, {.peer = "pc-fay"}).ok());
  EXPECT_EQ(
      Text("SELECT string_agg(concat_ws(' ', actor, peer, kind, new_value, nullif(reason, "
           "'')), '; ' ORDER BY revision) FROM dunlin_store.event WHERE actor <> 'dunlin' AND "
           "kind <> 'run_created'"),
      "bea pc-bea run_state_changed PAUSING slow; cyd pc-cyd run_state_changed PENDING calm; "
      "dan pc-dan quarantine_retry_asked 1 rows mended; dan pc-dan run_state_changed PENDING "
      "to retry rows that are set aside; eve pc-eve quarantine_accepted 1 rows known; eve "
      "pc-eve run_state_changed PENDING rows that are set aside were accepted; fay pc-fay "
      "run_state_changed CANCELLING enough");
}

TEST_F(QuarantineStoreTest, WhatAnotherRunStandsInForIsNotTakenUpAgainByItsRows) {
  FakeLedger ledger(60, 2);
  ScriptedAgent agent(*port_, ledger, {});
  StartAndWork(agent);
  EXPECT_FALSE(agent.SetAside("23514"));
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  Start(*store_, absl::StrCat("supersedes: ", kMigration, "\n"), "20261201000000_other");
  ASSERT_EQ(State(*store_), "CANCELLED");
  for (const absl::Status& refused : {Retry(), AcceptAll()})
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_EQ(State(*store_), "CANCELLED");
}

}  // namespace
}  // namespace dunlin::coordinator
