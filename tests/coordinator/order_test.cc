// Which runs begin when: version order, depends_on, stand-ins, targets, --at, dry runs.
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OrderTest : public StoreTest {
 protected:
  OrderTest() : store_(MakeStore()), port_(MakeStorePort(*store_)) {}
  std::string Reason(const std::string& run) {
    EXPECT_TRUE(store_->Sweep().ok());
    return Get(*store_, run).reason();
  }
  // Runs it to the end with a ledger of its own.
  void Finish(const std::string& run, const std::string& target = "orders") {
    FakeLedger ledger(10, 1);
    ScriptedAgent agent(*port_, ledger, {.target = target});
    ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED", run));
  }
  absl::Status StartStatus(const std::string& more, const std::string& name) {
    return store_->StartRun(StartRequest(more, name), {}).status();
  }
  std::unique_ptr<Store> store_;
  std::unique_ptr<AgentPort> port_;
};

TEST_F(OrderTest, RunsBeginInVersionOrderWhateverTheOrderOfTheirStarts) {
  Start(*store_, "", kThird);
  Start(*store_, "", kSecond);
  Start(*store_, "", kFirst);
  FakeLedger ledger(100, 1);
  ScriptedAgent agent(*port_, ledger, {.slots = 1});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING", kFirst));
  EXPECT_THAT(Reason(kSecond), HasSubstr(absl::StrCat("waits for ", kFirst, ", which is")));
  EXPECT_THAT(Reason(kThird), HasSubstr(absl::StrCat("waits for ", kFirst)));
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED", kFirst));
  Finish(kSecond);
  Finish(kThird);
}

TEST_F(OrderTest, AnEmptyDependsOnBeginsAtOnceAndOtherTargetsDoNotWait) {
  Start(*store_, "", kFirst);
  Start(*store_, "depends_on: []\n", kSecond);
  auto elsewhere = StartRequest("", kThird);
  elsewhere.set_definition(
      "description: A test\ntarget: users\ntable: public.t\nbatch: UPDATE t SET n = 1 WHERE "
      ":batch\n");
  ASSERT_TRUE(store_->StartRun(elsewhere, {}).ok());
  EXPECT_THAT(Reason(kSecond), HasSubstr("no agent for target orders"));
  EXPECT_THAT(Reason(kThird), HasSubstr("no agent for target users"));
}

TEST_F(OrderTest, AnEarlierOneThatNeedsAPersonIsNamedWithTheCommand) {
  Start(*store_, "", kFirst);
  ASSERT_TRUE(Cancel(*store_, kFirst).ok());
  Start(*store_, "", kSecond);
  EXPECT_THAT(Reason(kSecond), HasSubstr(absl::StrCat("waits for ", kFirst,
                                                      ", which is CANCELLED; when that is "
                                                      "mended: dunlin resume ",
                                                      kFirst)));
}

TEST_F(OrderTest, AStandInTakesThePlaceOfWhatItSupersedes) {
  FakeLedger ledger(100, 2);
  Start(*store_, "", kFirst);
  Start(*store_, "", kSecond);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING", kFirst));
  const std::string stands_in = absl::StrCat("supersedes: ", kFirst, "\n");
  const absl::Status busy = StartStatus(stands_in, kThird);
  EXPECT_TRUE(absl::IsFailedPrecondition(busy)) << busy;
  EXPECT_THAT(std::string(busy.message()), HasSubstr(absl::StrCat("dunlin cancel ", kFirst)));
  ASSERT_TRUE(Pause(*store_, kFirst).ok());
  ASSERT_TRUE(StepUntil(*store_, agent, "PAUSED", kFirst));
  ASSERT_TRUE(StartStatus(stands_in, kThird).ok());
  EXPECT_EQ(State(*store_, kFirst), "CANCELLED");
  EXPECT_EQ(Get(*store_, kFirst).superseded_by(), kThird);
  EXPECT_THAT(Reason(kSecond), HasSubstr(absl::StrCat("waits for ", kThird)))
      << "a later version, but an earlier place";
  const absl::Status resumed = Resume(*store_, kFirst).status();
  EXPECT_THAT(std::string(resumed.message()), HasSubstr(absl::StrCat(kThird, " stands in for it")));
  const auto again = store_->StartRun(StartRequest("", kFirst), {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->created());
  Finish(kThird);
  Start(*store_, absl::StrCat("depends_on: [", kFirst, "]\n"), "20261104000000_fourth");
  EXPECT_THAT(Reason("20261104000000_fourth"), Not(HasSubstr("waits for")));
  Finish(kSecond);
}

TEST_F(OrderTest, WhatWasNeverStartedAndIsSupersededIsNotStartedAnyMore) {
  ASSERT_TRUE(StartStatus(absl::StrCat("supersedes: ", kFirst, "\n"), kSecond).ok());
  const absl::Status refused = StartStatus("", kFirst);
  EXPECT_TRUE(absl::IsAlreadyExists(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr(absl::StrCat(kSecond, " stands in for it")));
}

TEST_F(OrderTest, OneRunForEachTargetOfAListOrAPattern) {
  FakeLedger ledger(10, 1);
  ScriptedAgent eu(*port_, ledger, {.target = "tenant_eu"}),
      us(*port_, ledger, {.target = "tenant_us"});
  const std::string file =
      "description: A test\ntarget: tenant_%\ntable: public.t\nbatch: UPDATE t SET n = 1 WHERE "
      ":batch\n";
  pb::ResolveTargetsRequest resolve;
  resolve.set_migration(kFirst);
  resolve.set_definition(file);
  const auto targets = store_->ResolveTargets(resolve);
  ASSERT_TRUE(targets.ok()) << targets.status();
  EXPECT_THAT(targets->targets(), ElementsAre("tenant_eu", "tenant_us"));
  auto request = StartRequest("", kFirst);
  request.set_definition(file);
  EXPECT_TRUE(absl::IsInvalidArgument(store_->StartRun(request, {}).status())) << "which one?";
  for (const char* target : {"tenant_eu", "tenant_us"}) {
    request.set_target(target);
    request.set_request_id(MakeUuid());
    ASSERT_TRUE(store_->StartRun(request, {})->created()) << target;
    request.set_request_id(MakeUuid());
    EXPECT_FALSE(store_->StartRun(request, {})->created()) << target;
  }
  request.set_target("orders");
  EXPECT_TRUE(absl::IsInvalidArgument(store_->StartRun(request, {}).status()));
  const auto which = store_->GetRun(kFirst);
  EXPECT_TRUE(absl::IsInvalidArgument(which.status())) << which.status();
  EXPECT_THAT(std::string(which.status().message()), HasSubstr("20261101000000_first@tenant_eu"));
  EXPECT_EQ(Get(*store_, "20261101000000@tenant_us").target(), "tenant_us");
  resolve.set_definition("description: A test\ntarget: asia_%\nonce: SELECT 1\n");
  EXPECT_THAT(std::string(store_->ResolveTargets(resolve).status().message()),
              HasSubstr("known are: tenant_eu, tenant_us"));
}

TEST_F(OrderTest, ItBeginsNoEarlierThanAsked) {
  FakeLedger ledger(10, 1);
  auto request = StartRequest("", kFirst);
  request.mutable_not_before_time()->set_seconds(
      Int("SELECT extract(epoch FROM now())::bigint + 3600"));
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  ScriptedAgent agent(*port_, ledger, {});
  for (int i = 0; i < 3; ++i) {
    agent.Step();
    ASSERT_TRUE(store_->Sweep().ok());
  }
  EXPECT_THAT(Reason(kFirst), HasSubstr("begins at "));
  Exec("UPDATE dunlin_store.run SET not_before = now()");
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED", kFirst));
}

TEST_F(OrderTest, Trap22_ADryRunKeepsNothing) {
  auto request = StartRequest("", kFirst);
  request.set_dry_run(true);
  const auto dry = store_->StartRun(request, {});
  ASSERT_TRUE(dry.ok()) << dry.status();
  EXPECT_TRUE(dry->created());
  EXPECT_EQ(Int("SELECT (SELECT count(*) FROM dunlin_store.run) + (SELECT count(*) FROM "
                "dunlin_store.event) + (SELECT count(*) FROM dunlin_store.request)"),
            0);
  FakeLedger ledger(100, 2);
  Start(*store_, "", kFirst);
  ScriptedAgent agent(*port_, ledger, {});
  ASSERT_TRUE(StepUntil(*store_, agent, "RUNNING", kFirst));
  auto edited = StartRequest("owner: x\n", kFirst);
  edited.set_dry_run(true);
  EXPECT_TRUE(store_->StartRun(edited, {})->created()) << "no batch yet: it would be replaced";
  EXPECT_EQ(State(*store_, kFirst), "RUNNING");
  ASSERT_TRUE(StepUntil(*store_, agent, "FINISHED", kFirst));
}

TEST_F(OrderTest, ACriticalOneStartsOnlyWithATestAndAReason) {
  auto request = StartRequest("critical: true\n", kFirst);
  request.set_reason("tax law of 2027");
  const absl::Status no_test = store_->StartRun(request, {}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(no_test)) << no_test;
  EXPECT_THAT(std::string(no_test.message()), HasSubstr("20261101000000_first.test.yaml"));
  request.set_has_test(true);
  request.set_reason("");
  const absl::Status no_reason = store_->StartRun(request, {}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(no_reason)) << no_reason;
  request.set_reason("tax law of 2027");
  ASSERT_TRUE(store_->StartRun(request, {}).ok());
  EXPECT_THAT(Reason(kFirst), HasSubstr("waits for the approval of another operator than ada"));
}

}  // namespace
}  // namespace dunlin::coordinator
