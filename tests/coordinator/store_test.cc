// The store itself: schema, revisions, what watchers read, pruning, an absent server.
#include <algorithm>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "common/status_util.h"
#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(StoreTest, ReplicasThatStartTogetherMakeOneSchema) {
  std::vector<absl::Status> outcomes(6);
  {
    std::vector<std::jthread> threads;
    for (absl::Status& outcome : outcomes) {
      threads.emplace_back([&] {
        Store store({.dsn = Secret(Dsn()), .lease_ttl = absl::Seconds(10)});
        outcome = store.MigrateSchema();
      });
    }
  }
  for (const absl::Status& outcome : outcomes) EXPECT_TRUE(outcome.ok()) << outcome;
  EXPECT_EQ(Int("SELECT version FROM dunlin_store.meta"), 8);
}

TEST_F(StoreTest, ANewerStoreIsRefused) {
  const auto store = MakeStore();
  Exec("UPDATE dunlin_store.meta SET version = 1000");
  for (const absl::Status& refused : {store->MigrateSchema(), store->CheckSchema()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("schema version 1000"));
  }
}

TEST_F(StoreTest, AnAbsentStoreSaysWhichAndThatItIsTriedAgain) {
  Store store(
      {.dsn = Secret("postgresql://app:hush@127.0.0.1:1/nowhere"), .lease_ttl = absl::Seconds(10)});
  const absl::Status status = store.GetRun("x").status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(ReasonOf(status), "STORE_UNREACHABLE");
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("hush"))) << "I8";
}

TEST_F(StoreTest, ARestartOfTheStoreIsNoErrorForTheNextCall) {
  const auto store = MakeStore();
  Start(*store);
  {
    std::vector<std::jthread> threads;  // fills the pool
    for (int i = 0; i < 8; ++i) threads.emplace_back([&] { Get(*store); });
  }
  Exec(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
      "AND pid <> pg_backend_pid()");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(State(*store), "PENDING");
}

// Two replicas change one run at the same time; a third reader never sees a revision appear behind
// one that it has seen already.
TEST_F(StoreTest, Trap04_RevisionsBecomeVisibleInOrder) {
  const auto one = MakeStore(), two = MakeStore();
  const std::string run = Start(*one).run_id();
  std::atomic<bool> end = false;
  std::vector<int64_t> seen;
  std::jthread reader([&] {
    int64_t after = 0;
    while (!end) {
      const auto delta = one->ReadChanges(run, after);
      ASSERT_TRUE(delta.ok()) << delta.status();
      for (const auto& event : delta->events) seen.push_back(event.revision());
      after = delta->revision;
    }
  });
  {
    std::vector<std::jthread> writers;
    for (Store* store : {one.get(), two.get(), one.get(), two.get()}) {
      writers.emplace_back([&, store] {
        for (int i = 0; i < 25; ++i) {
          static_cast<void>(Pause(*store, run));
          static_cast<void>(Resume(*store, run));
        }
      });
    }
  }
  end = true;
  reader.join();
  const auto rest = one->ReadChanges(run, seen.empty() ? 1 : seen.back());
  ASSERT_TRUE(rest.ok());
  for (const auto& event : rest->events) seen.push_back(event.revision());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  const int64_t first = seen.front();
  EXPECT_EQ(Int(absl::StrCat("SELECT count(*) FROM dunlin_store.event WHERE run = '", run,
                             "' AND revision >= ", first)),
            static_cast<int64_t>(seen.size()))
      << "none was passed over";
  ExpectEventsInOrder(run);
}

TEST_F(StoreTest, I11_AWatchFarBehindGetsEveryEventAndEveryShard) {
  const auto store = MakeStore();
  const auto port = MakeStorePort(*store);
  FakeLedger ledger(64, 64);
  const std::string run = Start(*store).run_id();
  ScriptedAgent agent(*port, ledger, {});
  ASSERT_TRUE(StepUntil(*store, agent, "RUNNING"));
  const int64_t from = Get(*store).revision();
  agent.Step();  // shards change first, then far more events than a message holds
  Exec(absl::StrCat(
      "INSERT INTO dunlin_store.event (run, revision, kind, actor, audit) SELECT '", run,
      "', r.revision + g, 'noise', 'dunlin', false FROM dunlin_store.run r, "
      "generate_series(1, 2500) g; UPDATE dunlin_store.run SET revision = revision + 2500"));
  ASSERT_TRUE(StepUntil(*store, agent, "FINISHED"));
  std::set<std::string> shards;
  int64_t events = 0, after = from;
  for (int messages = 0; after < Get(*store).revision(); ++messages) {
    ASSERT_LT(messages, 20);
    const auto delta = store->ReadChanges(run, after);
    ASSERT_TRUE(delta.ok()) << delta.status();
    ASSERT_GT(delta->revision, after);
    after = delta->revision;
    events += static_cast<int64_t>(delta->events.size());
    for (const pb::Shard& shard : delta->shards) shards.insert(shard.shard_id());
  }
  EXPECT_EQ(events,
            Int(absl::StrCat("SELECT count(*) FROM dunlin_store.event WHERE revision > ", from)));
  EXPECT_EQ(shards.size(), 64u);
}

TEST_F(StoreTest, I11_WhatIsNoLongerKeptIsSaidAndAuditEntriesStay) {
  const auto store = MakeStore();
  const std::string run = Start(*store).run_id();
  ASSERT_TRUE(Pause(*store).ok());
  Exec(absl::StrCat(
      "INSERT INTO dunlin_store.event (run, revision, kind, actor, audit, at) SELECT '", run,
      "', r.revision + g, 'noise', 'dunlin', false, clock_timestamp() - interval "
      "'8 days' FROM dunlin_store.run r, generate_series(1, 50) g; "
      "UPDATE dunlin_store.run SET revision = revision + 51"));
  ASSERT_TRUE(store->Prune().ok());
  const int64_t revision = Get(*store).revision();
  const absl::Status compacted = store->ReadChanges(run, 1).status();
  EXPECT_TRUE(absl::IsOutOfRange(compacted)) << compacted;
  EXPECT_EQ(ReasonOf(compacted), "REVISION_COMPACTED");
  EXPECT_TRUE(store->ReadChanges(run, revision - 1).ok());
  EXPECT_TRUE(store->ReadChanges(run, 0).ok()) << "a snapshot always works";
  EXPECT_EQ(Int("SELECT count(*) FROM dunlin_store.event WHERE kind = 'noise'"), 0);
  EXPECT_GE(Int("SELECT count(*) FROM dunlin_store.event WHERE audit"), 2);
}

TEST_F(StoreTest, OneRunThatCannotBeSweptDoesNotKeepTheOthersFromIt) {
  const auto store = MakeStore();
  const std::string sick = Start(*store, "", "20261123120001_sick").run_id();
  Start(*store, "", "20261123120002_well");
  Exec(
      absl::StrCat("UPDATE dunlin_store.run SET id = '00000000-0000-0000-0000-000000000000', "
                   "state = 'NO_SUCH' WHERE false; UPDATE dunlin_store.run SET definition = "
                   "'nonsense' WHERE id = '",
                   sick, "'"));
  ASSERT_TRUE(Pause(*store, "20261123120002_well").ok());
  EXPECT_FALSE(store->Sweep().ok());
  EXPECT_EQ(State(*store, "20261123120002_well"), "PAUSED");
}

TEST_F(StoreTest, AQuietSweepWritesNothing) {
  const auto store = MakeStore();
  Start(*store);
  ASSERT_TRUE(store->Sweep().ok());
  const std::string before = Text("SELECT xmin FROM dunlin_store.run");
  ASSERT_TRUE(store->Sweep().ok());
  // FOR UPDATE sets xmax only.
  EXPECT_EQ(Text("SELECT xmin FROM dunlin_store.run"), before);
}

TEST_F(StoreTest, PagesShowEverythingOnce) {
  const auto store = MakeStore();
  for (int i = 0; i < 7; ++i) Start(*store, "", absl::StrCat("2026112312000", i, "_m"));
  std::set<std::string> seen;
  pb::ListRunsRequest request;
  request.set_page_size(3);
  for (int page = 0; page < 4; ++page) {
    const auto list = store->ListRuns(request);
    ASSERT_TRUE(list.ok()) << list.status();
    for (const pb::Run& run : list->runs()) EXPECT_TRUE(seen.insert(run.run_id()).second);
    if (list->next_page_token().empty()) break;
    request.set_page_token(list->next_page_token());
  }
  EXPECT_EQ(seen.size(), 7u);
}

TEST_F(StoreTest, AListOfConcernHasWhatFailedAsLongAsNothingStandsInItsPlace) {
  const auto store = MakeStore();
  const auto failed = [&] {
    pb::ListRunsRequest request;
    request.set_live_only(true);
    request.set_with_failed(true);
    std::vector<std::string> names;
    const auto list = store->ListRuns(request);
    EXPECT_TRUE(list.ok()) << list.status();
    for (const pb::Run& run : list->runs()) names.push_back(run.migration());
    return names;
  };
  Start(*store);
  Exec("UPDATE dunlin_store.run SET state = 'FAILED'");
  EXPECT_THAT(failed(), ElementsAre(kMigration));
  pb::RedoRunRequest redo;
  redo.set_request_id(MakeUuid());
  redo.set_operator_name("ada");
  redo.set_run(kMigration);
  ASSERT_TRUE(store->RedoRun(redo, {}).ok());
  EXPECT_THAT(failed(), ElementsAre(kMigration)) << "the new one, which is live";
  Exec("UPDATE dunlin_store.run SET state = 'FINISHED' WHERE state <> 'FAILED'");
  EXPECT_THAT(failed(), ElementsAre());
}

TEST_F(StoreTest, TheTimeOfAStateIsThatOfItsChange) {
  const auto store = MakeStore();
  Start(*store);
  Exec("UPDATE dunlin_store.run SET state_at = now() - interval '1 hour', reason = 'another'");
  const int64_t before = Get(*store).state_time().seconds();
  ASSERT_TRUE(store->Sweep().ok());  // says what it waits for: no other state
  ASSERT_EQ(Int("SELECT count(*) FROM dunlin_store.run WHERE reason = 'another'"), 0);
  EXPECT_EQ(Get(*store).state_time().seconds(), before);
  ASSERT_TRUE(Pause(*store).ok());
  EXPECT_GE(Get(*store).state_time().seconds(), before + 3599);
}

}  // namespace
}  // namespace dunlin::coordinator
