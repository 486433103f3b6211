// Leases: granted once, fenced by epochs, expired by the store's clock, found again, given back.
#include <thread>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::HasSubstr;

class LeaseTest : public StoreTest {
 protected:
  LeaseTest() : store_(MakeStore()), port_(MakeStorePort(*store_)) {}

  agent_pb::AcquireLeasesRequest AcquireRequest(const ScriptedAgent& agent, int leases_max) {
    agent_pb::AcquireLeasesRequest request;
    request.set_request_id(MakeUuid());
    request.set_agent_id(agent.id());
    request.set_leases_max(leases_max);
    auto* target = request.add_targets();
    target->set_target("orders");
    target->set_system_identifier("7001");
    target->set_timeline(1);
    return request;
  }

  std::unique_ptr<Store> store_;
  std::unique_ptr<AgentPort> port_;
};

TEST_F(LeaseTest, OfTwoLimitsTheLowerCounts) {
  FakeLedger ledger(100'000, 4);
  Start(*store_, "limits: {concurrency: 2, rows_per_second: 600, wal_bytes_per_second: 1GB}\n");
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  ASSERT_EQ(agent.shards_held(), 2);
  double rate = 0;
  for (const auto& [id, lease] : agent.leases()) rate += lease.limits().rows_per_second();
  EXPECT_GT(rate, 0);
  EXPECT_LE(rate, 600.001);
}

TEST_F(LeaseTest, I6_TheSameRequestIdGivesTheSameAnswerAndAnotherBodyIsRefused) {
  auto request = StartRequest("parameters: {low: integer, high: integer, mid: integer}\n");
  request.set_definition(
      "description: A test\ntarget: orders\ntable: public.t\n"
      "parameters: {low: integer, high: integer, mid: integer}\n"
      "batch: UPDATE t SET n = :low + :high + :mid WHERE :batch\n");
  (*request.mutable_parameters())["low"] = "1";
  (*request.mutable_parameters())["high"] = "2";
  (*request.mutable_parameters())["mid"] = "3";
  const auto first = store_->StartRun(request, {});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->created());
  for (int i = 0; i < 20; ++i) {
    pb::StartRunRequest again;  // as it comes from the network: its map has another order
    ASSERT_TRUE(again.ParseFromString(request.SerializeAsString()));
    const auto answer = store_->StartRun(again, {});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_TRUE(answer->created());
    EXPECT_EQ(answer->run().run_id(), first->run().run_id());
  }
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.run"), 1);
  request.set_stop_after_rows(7);
  EXPECT_TRUE(absl::IsInvalidArgument(store_->StartRun(request, {}).status()));
}

TEST_F(LeaseTest, I6_TheSameRequestIdAtTheSameTimeChangesThingsOnce) {
  Start(*store_);
  const auto other = MakeStore();
  pb::PauseRunRequest request;
  request.set_request_id(MakeUuid());
  request.set_operator_name("ada");
  request.set_run(kMigration);
  std::vector<absl::Status> outcomes(8);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      threads.emplace_back(
          [&, i] { outcomes[i] = (i % 2 == 0 ? *store_ : *other).PauseRun(request, {}).status(); });
    }
  }
  for (const absl::Status& outcome : outcomes) EXPECT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.event WHERE new_value = 'PAUSING'"), 1);
}

TEST_F(LeaseTest, Trap19_AGrantWhoseAnswerWasLostIsFoundByItsRequestId) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  const auto request = AcquireRequest(agent, 2);
  const auto lost = store_->AcquireLeases(request);
  ASSERT_TRUE(lost.ok()) << lost.status();
  ASSERT_EQ(lost->leases_size(), 2);
  const auto again = store_->AcquireLeases(request);
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(again->leases_size(), 2);
  std::set<std::string> first, second;
  for (const auto& lease : lost->leases()) first.insert(lease.lease_id());
  for (const auto& lease : again->leases()) second.insert(lease.lease_id());
  EXPECT_EQ(first, second);
}

TEST_F(LeaseTest, Trap19_ALeaseThatTheAgentDoesNotListIsRevoked) {
  const auto quick = MakeStore(absl::Seconds(1));  // heartbeats every 167 ms
  const auto port = MakeStorePort(*quick);
  FakeLedger ledger(100, 2);
  Start(*quick);
  ScriptedAgent agent(*port, ledger, {});
  ASSERT_TRUE(StepUntil(*quick, agent, "RUNNING"));
  agent.AcquireAndLoseAnswer();
  ASSERT_EQ(Get(*quick).shards().leased(), 2);
  agent.Heartbeat();
  EXPECT_EQ(Get(*quick).shards().leased(), 2) << "the answer may still be on its way";
  Exec(
      "UPDATE dunlin_store.shard SET granted_at = granted_at - interval '10 seconds', "
      "expires_at = expires_at + interval '1 hour'");
  agent.Heartbeat();
  EXPECT_EQ(Get(*quick).shards().leased(), 0);
  ASSERT_TRUE(StepUntil(*quick, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(LeaseTest, I3_AnExpiredLeaseGoesToAnotherAgentUnderAHigherEpochAndIsNotRevived) {
  FakeLedger ledger(200, 1);
  Start(*store_);
  ScriptedAgent sleeper(*port_, ledger, {.name = "sleeper"});
  ASSERT_TRUE(StepUntil(*store_, sleeper, "RUNNING"));
  sleeper.Step();
  ASSERT_EQ(sleeper.shards_held(), 1);
  const int64_t epoch = sleeper.leases().begin()->second.shard().epoch();
  Exec("UPDATE dunlin_store.shard SET expires_at = clock_timestamp() - interval '1 second'");
  sleeper.Heartbeat();  // late: before anybody has swept
  EXPECT_EQ(sleeper.shards_held(), 0) << "told LOST";
  ASSERT_TRUE(store_->Sweep().ok());
  ScriptedAgent other(*port_, ledger, {.name = "other"});
  other.Acquire();
  ASSERT_EQ(other.shards_held(), 1);
  EXPECT_GT(other.leases().begin()->second.shard().epoch(), epoch);
  ASSERT_TRUE(StepUntil(*store_, other, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(LeaseTest, I3_ReportsUnderALostLeaseAreAborted) {
  FakeLedger ledger(200, 1);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  ASSERT_EQ(agent.shards_held(), 1);
  const agent_pb::Lease lease = agent.leases().begin()->second;
  ASSERT_TRUE(store_->RevokeAllLeases("a test").ok());
  agent_pb::CompleteShardRequest request;
  request.set_request_id(MakeUuid());
  request.set_agent_id(agent.id());
  request.set_lease_id(lease.lease_id());
  request.set_shard_id(lease.shard().shard_id());
  request.set_epoch(lease.shard().epoch());
  *request.mutable_upper() = lease.shard().upper();
  EXPECT_TRUE(absl::IsAborted(store_->CompleteShard(request)));
  EXPECT_EQ(Get(*store_).shards().done(), 0);
}

TEST_F(LeaseTest, I5_ACheckpointWithALowerSeqChangesNothing) {
  FakeLedger ledger(200, 1);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  for (int i = 0; i < 3; ++i) agent.Step();
  agent.Heartbeat();
  const int64_t rows = Get(*store_).rows_done();
  ASSERT_GE(rows, 20);
  agent_pb::HeartbeatRequest late;  // overtaken on the way
  late.set_agent_id(agent.id());
  auto* report = late.add_leases();
  report->set_lease_id(agent.leases().begin()->first);
  report->mutable_checkpoint()->set_seq(1);
  report->mutable_checkpoint()->set_rows_done(10);
  report->mutable_checkpoint()->mutable_cursor()->add_column_text("10");
  ASSERT_TRUE(store_->Heartbeat(late).ok());
  EXPECT_EQ(Get(*store_).rows_done(), rows);
  EXPECT_NE(Text("SELECT cursor[1] FROM dunlin_store.shard"), "10");
}

TEST_F(LeaseTest, TheEpochGoesPastTheLedgersWhenTheStoreForgotItsLastSecond) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  for (const auto& shard : ledger.All()) ASSERT_TRUE(ledger.Claim(shard.shard_id(), 41));
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_GT(Int("SELECT min(epoch) FROM dunlin_store.shard"), 41);
}

TEST_F(LeaseTest, LeasesAreSharedFairlyOverRuns) {
  const std::string second = "20261123120001_second";
  FakeLedger ledger(1000, 8);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.slots = 1});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  Start(*store_, "depends_on: []\n", second);
  ScriptedAgent planner(*port_, ledger, {.slots = 1});
  FakeLedger other(1000, 8);
  ScriptedAgent of_second(*port_, other, {.slots = 1});
  ASSERT_TRUE(StepUntil(*store_, of_second, "RUNNING", second));
  ASSERT_TRUE(store_->RevokeAllLeases("begin anew").ok());
  agent.Die();
  const auto granted = store_->AcquireLeases(AcquireRequest(agent, 4));
  ASSERT_TRUE(granted.ok()) << granted.status();
  ASSERT_EQ(granted->leases_size(), 4);
  std::map<std::string, int> by_run;
  for (const auto& lease : granted->leases()) ++by_run[lease.run().migration()];
  EXPECT_EQ(by_run[kMigration], 2);
  EXPECT_EQ(by_run[second], 2);
}

TEST_F(LeaseTest, ConcurrencyBoundsAllAgentsTogetherAndPressureTakesLeasesBack) {
  FakeLedger ledger(100'000, 16);
  Start(*store_, "limits: {concurrency: 6, rows_per_second: 600}\n");
  ScriptedAgent one(*port_, ledger, {.name = "one", .slots = 5});
  ScriptedAgent two(*port_, ledger, {.name = "two", .slots = 5});
  ASSERT_TRUE(StepUntil(*store_, one, "RUNNING"));
  one.Acquire();
  two.Acquire();
  EXPECT_EQ(one.shards_held() + two.shards_held(), 6);
  double rate = 0;
  for (const ScriptedAgent* agent : {&one, &two}) {
    for (const auto& [id, lease] : agent->leases()) rate += lease.limits().rows_per_second();
  }
  EXPECT_LE(rate, 600.001);
  // A worker backs off: half of them at once.
  Exec("UPDATE dunlin_store.pace SET changed_at = changed_at - 2");
  Exec(
      "UPDATE dunlin_store.shard SET waiting = 'backs off 1s' WHERE id = "
      "(SELECT id FROM dunlin_store.shard WHERE lease_id IS NOT NULL LIMIT 1)");
  ASSERT_TRUE(store_->Sweep().ok());
  EXPECT_EQ(Get(*store_).concurrency_allowed(), 3);
  EXPECT_THAT(Get(*store_).throttled_reason(), HasSubstr("back"));
  one.Heartbeat();
  two.Heartbeat();
  EXPECT_EQ(one.shards_held() + two.shards_held(), 3);
}

TEST_F(LeaseTest, AnIdleAgentGetsHalfOfTheLargestShard) {
  FakeLedger ledger(1000, 1);
  Start(*store_);
  ScriptedAgent owner(*port_, ledger, {.name = "owner", .slots = 1, .rows_per_key = 10'000});
  ScriptedAgent idle(*port_, ledger, {.name = "idle", .slots = 1});
  ASSERT_TRUE(StepUntil(*store_, owner, "RUNNING"));
  owner.Step();
  idle.Acquire();
  EXPECT_EQ(idle.shards_held(), 0);
  owner.Heartbeat();
  EXPECT_EQ(owner.splits(), 1);
  idle.Acquire();
  EXPECT_EQ(idle.shards_held(), 1);
  for (int i = 0; i < 300 && State(*store_) != "FINISHED"; ++i) {
    owner.Step();
    idle.Step();
    ASSERT_TRUE(store_->Sweep().ok());
  }
  EXPECT_EQ(State(*store_), "FINISHED");
  EXPECT_EQ(ledger.WrongKeys(0), 0);
}

TEST_F(LeaseTest, AsManyShardsAreSplitAtOnceAsSlotsWait) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent owner(*port_, ledger, {.name = "owner", .slots = 2, .rows_per_key = 10'000});
  ScriptedAgent idle(*port_, ledger, {.name = "idle", .slots = 2});
  ASSERT_TRUE(StepUntil(*store_, owner, "RUNNING"));
  owner.Step();
  ASSERT_EQ(owner.shards_held(), 2);
  idle.Acquire();
  owner.Heartbeat();
  EXPECT_EQ(owner.splits(), 2);
  owner.Heartbeat();
  EXPECT_EQ(owner.splits(), 2) << "the halves wait for the slots";
  idle.Acquire();
  EXPECT_EQ(idle.shards_held(), 2);
}

TEST_F(LeaseTest, I2_AMismatchIsReconciledFromTheLedger) {
  FakeLedger ledger(1000, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {.rows_per_batch = 50});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  // A split that the store was never told of, and a row that the ledger never had.
  const std::string shard = agent.leases().begin()->second.shard().shard_id();
  ASSERT_TRUE(ledger.Split(shard, agent.leases().begin()->second.shard().epoch()));
  Exec(
      absl::StrCat("INSERT INTO dunlin_store.shard (id, run, step, relation, upper) SELECT "
                   "gen_random_uuid(), run, 0, 'public.t', '{7}' FROM dunlin_store.shard LIMIT 1"));
  ASSERT_TRUE(agent.ReleaseOneWith(agent_pb::Problem::KIND_LEDGER_MISMATCH, "other bounds"));
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(ledger.WrongKeys(0), 0);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.shard"), 3);
}

TEST_F(LeaseTest, I2_AFinalizeThatDisagreesIsFollowedByAReconcile) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINALIZING"));
  Exec(
      "INSERT INTO dunlin_store.shard (id, run, step, relation, upper, done) SELECT "
      "gen_random_uuid(), run, 0, 'public.t', '{7}', true FROM dunlin_store.shard LIMIT 1");
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.event WHERE kind = 'reconciled'"), 1);
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.shard"), 2);
}

TEST_F(LeaseTest, TheSameTimelineWithoutTheRunsRecordFailsTheRun) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Step();
  ledger.Forget();
  for (int i = 0; i < 20 && State(*store_) != "FAILED"; ++i) agent.Step();
  EXPECT_EQ(State(*store_), "FAILED");
  EXPECT_THAT(Get(*store_).error(),
              HasSubstr("has lost its record of this run, on the server where it was planned"));
}

TEST_F(LeaseTest, MalformedIdsAreTheCallersMistake) {
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  auto request = AcquireRequest(agent, 1);
  request.set_agent_id("not a uuid");
  EXPECT_TRUE(absl::IsNotFound(store_->AcquireLeases(request).status()));
  agent_pb::CompleteShardRequest complete;
  complete.set_request_id(MakeUuid());
  complete.set_lease_id("not a uuid");
  EXPECT_TRUE(absl::IsAborted(store_->CompleteShard(complete)));
}

}  // namespace
}  // namespace dunlin::coordinator
