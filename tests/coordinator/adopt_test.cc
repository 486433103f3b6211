// What a store makes of a ledger that it takes over.
#include "absl/strings/str_cat.h"

#include "common/migration/name.h"
#include "coordinator/logic/adopt_policy.h"
#include "coordinator/store/store_internal.h"
#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::HasSubstr;

constexpr const char* kId = "aaaaaaaa-0000-4000-8000-000000000001";
constexpr const char* kOtherId = "aaaaaaaa-0000-4000-8000-000000000002";
constexpr const char* kDone = "20261001000000_done";

class AdoptStoreTest : public StoreTest {
 protected:
  AdoptStoreTest() : store_(MakeStore()), port_(MakeStorePort(*store_)) {}

  void Ask(const std::string& reason = "lost") {
    pb::AdoptTargetRequest request;
    request.set_request_id(MakeUuid());
    request.set_operator_name("grace");
    request.set_reason(reason);
    request.set_target("orders");
    const auto asked = store_->AdoptTarget(request, {.peer = "test"});
    ASSERT_TRUE(asked.ok()) << asked.status();
    EXPECT_FALSE(asked->adoption().done());
  }
  // The agent's next answer to the question that the store has for it.
  void Answer(ScriptedAgent& agent, agent_pb::CompleteTargetTaskRequest answer) {
    agent_pb::HeartbeatRequest heartbeat;
    heartbeat.set_agent_id(agent.id());
    auto* target = heartbeat.add_targets();
    agent.FillTarget(target);
    const auto asked = store_->Heartbeat(heartbeat);
    ASSERT_TRUE(asked.ok()) << asked.status();
    ASSERT_EQ(asked->target_tasks_size(), 1);
    answer.set_agent_id(agent.id());
    answer.set_task_id(asked->target_tasks(0).task_id());
    *answer.mutable_target() = *target;
    const absl::Status told = store_->CompleteTargetTask(answer);
    EXPECT_TRUE(told.ok()) << told;
  }
  static void AddListed(agent_pb::CompleteTargetTaskRequest& answer, const std::string& id,
                        const std::string& name, const std::string& outcome) {
    auto* run = answer.mutable_adopt_target()->add_runs();
    run->set_run_id(id);
    run->set_migration(name);
    run->set_outcome(outcome);
    answer.mutable_adopt_target()->set_former_store_id("former");
    answer.mutable_adopt_target()->set_former_store_name("shop");
  }
  static void AddRead(agent_pb::CompleteTargetTaskRequest& answer, const std::string& id,
                      const std::string& name, const std::string& outcome) {
    auto* run = answer.mutable_read_runs()->add_runs();
    run->set_run_id(id);
    run->set_migration(name);
    run->set_definition(File());
    run->set_digest(DigestOf(File()));
    run->set_parameters("{}");
    run->set_started_at("2026-10-01 10:00:00+00");
    run->set_outcome(outcome);
    run->set_task_epoch(41);
    run->set_rows_changed(12);
  }
  pb::Adoption Adoption() {
    pb::GetAdoptionRequest request;
    request.set_target("orders");
    return store_->GetAdoption(request)->adoption();
  }

  std::unique_ptr<Store> store_;
  std::unique_ptr<AgentPort> port_;
};

TEST_F(AdoptStoreTest, RunsOfTheLedgerBecomeKnownAndUnfinishedOnesWaitForAPerson) {
  FakeLedger ledger(10, 1);
  ScriptedAgent agent(*port_, ledger, {});
  agent.Heartbeat();
  // What the store itself has tried before, and the target refused.
  const std::string refused = Start(*store_).run_id();
  Ask();
  agent_pb::CompleteTargetTaskRequest listed;
  AddListed(listed, kOtherId, kDone, "finished");
  AddListed(listed, kId, kMigration, "open");
  Answer(agent, listed);
  agent_pb::CompleteTargetTaskRequest first;
  AddRead(first, kOtherId, kDone, "finished");
  Answer(agent, first);
  EXPECT_FALSE(Adoption().done()) << "one is left";
  agent_pb::CompleteTargetTaskRequest second;
  AddRead(second, kId, kMigration, "open");
  Answer(agent, second);
  EXPECT_TRUE(Adoption().done());
  EXPECT_EQ(Adoption().error(), "");
  EXPECT_EQ(Adoption().runs_learned(), 2);
  EXPECT_EQ(Adoption().former_store_name(), "shop");

  EXPECT_EQ(State(*store_, kDone), "FINISHED");
  const pb::Run open = Get(*store_);
  EXPECT_EQ(open.run_id(), kId) << "in place of " << refused;
  EXPECT_EQ(open.state(), pb::Run::STATE_PAUSED);
  EXPECT_THAT(open.reason(), HasSubstr(absl::StrCat("dunlin resume ", kMigration)));
  EXPECT_EQ(State(*store_, refused), "CANCELLED");
  // Its partition is what the ledger says, before anything else.
  EXPECT_EQ(Text(absl::StrCat("SELECT reconcile_due || ' ' || task_epoch FROM dunlin_store.run "
                              "WHERE id = '",
                              kId, "'")),
            "true 41");
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.event WHERE kind = 'run_adopted' AND actor = "
                "'grace' AND reason = 'lost'"),
            3);
  EXPECT_EQ(
      Text(absl::StrCat("SELECT confirmed FROM dunlin_store.run WHERE id = '", kOtherId, "'")),
      "finished")
      << "a gate need not ask";
  const auto up = store_->StartRun(StartRequest("", kDone), {});
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_FALSE(up->created());
  // This store has no shard of it, and knows all the same that it has changed rows.
  pb::RedoRunRequest redo;
  redo.set_request_id(MakeUuid());
  redo.set_operator_name("ada");
  redo.set_run(kDone);
  const absl::Status twice = store_->RedoRun(redo, {}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(twice)) << twice;
  const absl::Status edited =
      store_->StartRun(StartRequest("owner: somebody\n", kMigration), {}).status();
  EXPECT_FALSE(edited.ok()) << "the open one would be void, and the ledger would refuse the new";
}

TEST_F(AdoptStoreTest, AnUndoIsLearnedBehindTheRunThatItTakesBack) {
  FakeLedger ledger(10, 1);
  ScriptedAgent agent(*port_, ledger, {});
  agent.Heartbeat();
  Ask();
  agent_pb::CompleteTargetTaskRequest listed;
  AddListed(listed, kId, kDone, "undone");
  AddListed(listed, kOtherId, kDone, "undone");
  Answer(agent, listed);
  agent_pb::CompleteTargetTaskRequest read;
  AddRead(read, kId, kDone, "undone");
  AddRead(read, kOtherId, kDone, "undone");
  read.mutable_read_runs()->mutable_runs(1)->set_undoes_run_id(kId);
  Answer(agent, read);
  EXPECT_TRUE(Adoption().done()) << Adoption().error();
  EXPECT_EQ(Get(*store_, kId).state(), pb::Run::STATE_CANCELLED);
  const pb::Run undo = Get(*store_, kOtherId);
  EXPECT_EQ(undo.kind(), pb::Run::KIND_UNDO);
  EXPECT_EQ(undo.state(), pb::Run::STATE_FINISHED);
  EXPECT_EQ(undo.follows_run_id(), kId);
}

TEST_F(AdoptStoreTest, WhatAnotherStoreHasFinishedIsFinishedHereToo) {
  FakeLedger ledger(10, 2);
  ScriptedAgent agent(*port_, ledger, {});
  const std::string run = Start(*store_).run_id();
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  ASSERT_TRUE(agent.ReleaseOneWith(agent_pb::Problem::KIND_STORE_REFUSED, "it is another store's"));
  ASSERT_EQ(State(*store_), "FAILED");
  Ask();
  agent_pb::CompleteTargetTaskRequest listed;
  AddListed(listed, run, kMigration, "finished");
  Answer(agent, listed);
  EXPECT_TRUE(Adoption().done());
  EXPECT_EQ(State(*store_), "FINISHED");
  EXPECT_EQ(Get(*store_).error(), "");
  EXPECT_EQ(Text("SELECT confirmed FROM dunlin_store.run"), "finished");
}

TEST_F(AdoptStoreTest, I3_ARunInWorkLosesItsLeasesAndIsReadBeforeItGoesOn) {
  FakeLedger ledger(10, 2);
  ScriptedAgent agent(*port_, ledger, {});
  const std::string run = Start(*store_).run_id();
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING"));
  agent.Acquire();
  const std::string leased = "SELECT count(*) FROM dunlin_store.shard WHERE lease_id IS NOT NULL";
  ASSERT_GT(Int(leased), 0);
  Ask();
  agent_pb::CompleteTargetTaskRequest listed;
  AddListed(listed, run, kMigration, "open");
  Answer(agent, listed);
  EXPECT_EQ(Int(leased), 0);
  EXPECT_EQ(State(*store_), "PAUSED");
  EXPECT_EQ(Text("SELECT reconcile_due FROM dunlin_store.run"), "t");
  EXPECT_THAT(Get(*store_).reason(), HasSubstr(absl::StrCat("dunlin resume ", kMigration)));
}

TEST_F(AdoptStoreTest, WhatTheLedgerDoesNotConfirmIsNotTakenForDone) {
  FakeLedger ledger(10, 1);
  ScriptedAgent agent(*port_, ledger, {});
  const std::string gone = Start(*store_, "", kDone).run_id();
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED", kDone));
  const std::string reopened = Start(*store_).run_id();
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED"));
  Ask("restored from the dump of yesterday");
  agent_pb::CompleteTargetTaskRequest listed;
  AddListed(listed, reopened, kMigration, "open");
  Answer(agent, listed);
  EXPECT_TRUE(Adoption().done());
  EXPECT_EQ(State(*store_), "PAUSED");
  const pb::Run lost = Get(*store_, kDone);
  EXPECT_EQ(lost.run_id(), gone);
  EXPECT_EQ(lost.state(), pb::Run::STATE_CANCELLED);
  EXPECT_THAT(lost.reason(), HasSubstr(absl::StrCat("dunlin redo ", kDone, " --apply-twice")));
  const auto up = store_->StartRun(StartRequest("", kDone), {});
  ASSERT_TRUE(up.ok());
  EXPECT_FALSE(up->created()) << "a person decides";
}

TEST_F(AdoptStoreTest, WhatFailsIsSaidAndWithoutAnAgentNothingBegins) {
  pb::AdoptTargetRequest request;
  request.set_request_id(MakeUuid());
  request.set_operator_name("grace");
  request.set_reason("lost");
  request.set_target("orders");
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->AdoptTarget(request, {}).status()));
  FakeLedger ledger(10, 1);
  ScriptedAgent agent(*port_, ledger, {});
  agent.Heartbeat();
  Ask();
  agent_pb::CompleteTargetTaskRequest problem;
  problem.mutable_problem()->set_kind(agent_pb::Problem::KIND_TRANSIENT);
  problem.mutable_problem()->set_message("a batch is open");
  Answer(agent, problem);
  EXPECT_TRUE(Adoption().done());
  EXPECT_EQ(Adoption().error(), "a batch is open");
  Ask();
  EXPECT_EQ(Adoption().error(), "") << "asked again";
  agent_pb::CompleteTargetTaskRequest listed;
  AddListed(listed, kId, kMigration, "open");
  Answer(agent, listed);
  agent_pb::CompleteTargetTaskRequest other;
  AddRead(other, kId, kMigration, "open");
  other.mutable_read_runs()->mutable_runs(0)->set_definition(File("soak: 1h\n"));
  Answer(agent, other);
  EXPECT_THAT(Adoption().error(), HasSubstr("does not match the digest")) << "I9";
}

TEST(AdoptPolicyTest, TheLedgerHasTheLastWord) {
  const auto decide = [](RunState state, const char* outcome) {
    return DecideAdopt({.state = state, .begun = true, .in_ledger = true, .outcome = outcome});
  };
  EXPECT_EQ(decide(RunState::kFinished, "finished"), AdoptVerdict::kKeep);
  EXPECT_EQ(decide(RunState::kFinished, "open"), AdoptVerdict::kReadAgain);
  EXPECT_EQ(decide(RunState::kRunning, "open"), AdoptVerdict::kReadAgain);
  for (const RunState state : {RunState::kPending, RunState::kPlanning, RunState::kRunning,
                               RunState::kPausing, RunState::kPaused, RunState::kFinalizing,
                               RunState::kCancelling, RunState::kCancelled, RunState::kFailed}) {
    EXPECT_EQ(decide(state, "finished"), AdoptVerdict::kFinished);
    EXPECT_TRUE(MayChange(state, RunState::kFinished)) << ToText(state);
  }
  EXPECT_EQ(decide(RunState::kFailed, "baseline"), AdoptVerdict::kFinished);
  EXPECT_EQ(DecideAdopt({.state = RunState::kPaused,
                         .undo = true,
                         .begun = true,
                         .in_ledger = true,
                         .outcome = "undone"}),
            AdoptVerdict::kFinished);
  EXPECT_EQ(decide(RunState::kCancelled, "undone"), AdoptVerdict::kKeep);
  EXPECT_EQ(decide(RunState::kRunning, "superseded"), AdoptVerdict::kStandAside);
  EXPECT_EQ(DecideAdopt({.state = RunState::kPending}), AdoptVerdict::kKeep) << "it never began";
  EXPECT_EQ(DecideAdopt({.state = RunState::kFailed, .name_in_ledger = true}),
            AdoptVerdict::kStandAside);
  EXPECT_EQ(DecideAdopt({.state = RunState::kFinished, .begun = true}), AdoptVerdict::kNoRecord);
  EXPECT_EQ(AdoptedState("open", false), RunState::kPaused);
  EXPECT_EQ(AdoptedState("open", true), RunState::kPaused);
  EXPECT_EQ(AdoptedState("finished", false), RunState::kFinished);
  EXPECT_EQ(AdoptedState("baseline", false), RunState::kFinished);
  EXPECT_EQ(AdoptedState("undone", true), RunState::kFinished);
  EXPECT_EQ(AdoptedState("undone", false), RunState::kCancelled);
  EXPECT_EQ(AdoptedState("superseded", false), RunState::kCancelled);
}

}  // namespace
}  // namespace dunlin::coordinator
