// Gates over a real store: the target's own record is the authority.
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::HasSubstr;

class GateTest : public StoreTest {
 protected:
  GateTest() : store_(MakeStore()), port_(MakeStorePort(*store_)) {}
  pb::CheckGateRequest Request(const std::string& name = kMigration) {
    pb::CheckGateRequest request;
    request.set_migration(name);
    return request;
  }
  pb::GateResult Ask(const pb::CheckGateRequest& request) {
    const auto answer = store_->CheckGate(request);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() && answer->results_size() == 1 ? answer->results(0) : pb::GateResult();
  }
  pb::GateResult Ask() { return Ask(Request()); }
  // As if the target had said nothing since.
  void Forget() { Exec("UPDATE dunlin_store.run SET confirmed_at = now() - interval '1 hour'"); }

  std::unique_ptr<Store> store_;
  std::unique_ptr<AgentPort> port_;
};

TEST_F(GateTest, WaitsUntilTheRunIsFinishedAndThenBelievesTheAgentThatWroteIt) {
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_WAIT) << "never started";
  FakeLedger ledger(100, 2);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_WAIT);
  EXPECT_THAT(Ask().message(), HasSubstr("is RUNNING on orders"));
  ASSERT_TRUE(Pause(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED"));
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_NEEDS_PERSON);
  ASSERT_TRUE(Resume(*store_).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_OPEN) << Ask().message();
  auto soaked = Request("20261123120000");
  soaked.set_soak_from_file(true);
  EXPECT_EQ(Ask(soaked).verdict(), pb::GateResult::VERDICT_WAIT) << "the file says 7 days";
  EXPECT_TRUE(Ask(soaked).has_soak_end_time());
}

TEST_F(GateTest, AnEditedFileIsNotWhatHasRun) {
  FakeLedger ledger(10, 1);
  Start(*store_);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  auto gate = Request();
  gate.set_definition(File());
  EXPECT_EQ(Ask(gate).verdict(), pb::GateResult::VERDICT_OPEN) << Ask(gate).message();
  gate.set_definition(File("owner: x\n"));
  EXPECT_EQ(Ask(gate).verdict(), pb::GateResult::VERDICT_NEEDS_PERSON) << Ask(gate).message();
}

// The agent says that it finished a minute before it is asked.
TEST_F(GateTest, TheSoakCountsFromTheFinishThatTheTargetTells) {
  FakeLedger ledger(10, 1);
  const std::string run = Start(*store_).run_id();
  ScriptedAgent agent(*port_, ledger, {.confirms = {{run, "finished"}}});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  Forget();
  EXPECT_TRUE(Ask().confirming());
  agent.Heartbeat();
  auto soaked = Request();
  soaked.mutable_soak_duration()->set_seconds(50);
  EXPECT_EQ(Ask(soaked).verdict(), pb::GateResult::VERDICT_OPEN) << Ask(soaked).message();
  soaked.mutable_soak_duration()->set_seconds(600);
  EXPECT_EQ(Ask(soaked).verdict(), pb::GateResult::VERDICT_WAIT) << Ask(soaked).message();
}

TEST_F(GateTest, AsksTheTargetWhenItsWordIsOldAndBelievesItMoreThanTheStore) {
  FakeLedger ledger(10, 1);
  const std::string run = Start(*store_).run_id();
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  Forget();
  for (int i = 0; i < 3; ++i) {
    const pb::GateResult asked = Ask();
    EXPECT_EQ(asked.verdict(), pb::GateResult::VERDICT_WAIT);
    EXPECT_TRUE(asked.confirming());
  }
  agent.options().confirms = {{run, "finished"}};
  agent.Heartbeat();
  EXPECT_EQ(agent.questions(), 1) << "three gates, one question";
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_OPEN);

  Forget();
  EXPECT_TRUE(Ask().confirming());
  agent.options().confirms = {};
  agent.Heartbeat();
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_NEEDS_PERSON);
  EXPECT_THAT(Ask().message(), HasSubstr("orders has no record of it"));
  EXPECT_EQ(State(*store_), "FINISHED");
  // Mended: the next question finds out, however fresh the bad word is.
  Forget();
  EXPECT_TRUE(Ask().confirming());
  agent.options().confirms = {{run, "finished"}};
  agent.Heartbeat();
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_OPEN);
}

TEST_F(GateTest, AQuestionThatNobodyAnsweredIsGivenToAnotherAgent) {
  FakeLedger ledger(10, 1);
  const std::string run = Start(*store_).run_id();
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  Forget();
  EXPECT_TRUE(Ask().confirming());
  agent_pb::HeartbeatRequest dies;
  dies.set_agent_id(agent.id());
  auto* target = dies.add_targets();
  target->set_target("orders");
  target->set_system_identifier("7001");
  target->set_timeline(1);
  ASSERT_EQ(store_->Heartbeat(dies)->target_tasks_size(), 1);
  EXPECT_EQ(store_->Heartbeat(dies)->target_tasks_size(), 0) << "it has it already";
  Exec("UPDATE dunlin_store.target_task SET expires_at = now()");
  ScriptedAgent other(*port_, ledger, {.name = "b", .confirms = {{run, "finished"}}});
  other.Heartbeat();
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_OPEN);
}

TEST_F(GateTest, AGateOnASupersededOneIsThatOfItsStandIn) {
  FakeLedger ledger(10, 1);
  const std::string better = "20261201000000_better";
  Start(*store_);
  ASSERT_TRUE(Cancel(*store_).ok());
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_NEEDS_PERSON);
  Start(*store_, absl::StrCat("supersedes: ", kMigration, "\n"), better);
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_WAIT);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED", better));
  EXPECT_EQ(Ask().verdict(), pb::GateResult::VERDICT_OPEN);
  EXPECT_THAT(Ask().message(),
              HasSubstr(absl::StrCat(better, " (which stands in for ", kMigration, ")")));
}

TEST_F(GateTest, WaitingForOneThatNeedsAPersonNeedsAPerson) {
  Start(*store_);
  ASSERT_TRUE(Cancel(*store_).ok());
  const std::string later = "20261201000000_later";
  Start(*store_, "", later);
  EXPECT_EQ(Ask(Request(later)).verdict(), pb::GateResult::VERDICT_NEEDS_PERSON);
  EXPECT_THAT(Ask(Request(later)).message(), HasSubstr(absl::StrCat("dunlin resume ", kMigration)));
}

TEST_F(GateTest, AFileIsAskedForOnEachOfItsTargetsAlsoWhereItWasNeverStarted) {
  auto request = StartRequest();
  request.set_definition(
      "description: A test\ntarget: [eu, us]\ntable: public.t\nbatch: UPDATE t SET n = 1 WHERE "
      ":batch\n");
  request.set_target("eu");
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  for (const bool with_file : {true, false}) {
    auto gate = Request();
    if (with_file) gate.set_definition(request.definition());
    const auto answer = store_->CheckGate(gate);
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_EQ(answer->results_size(), 2) << with_file;
    EXPECT_EQ(answer->results(0).target(), "eu");
    EXPECT_THAT(answer->results(1).message(), HasSubstr("was never started on us"));
  }
}

}  // namespace
}  // namespace dunlin::coordinator
