// Random commands, deaths, lost answers and problems in any order: no call ever ends in a bug's
// status, and left alone the run finishes with every key once.
#include <cstdlib>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

uint32_t Seed() {
  const char* given = std::getenv("DUNLIN_SEED");
  uint32_t seed = std::random_device()();
  if (given != nullptr && !absl::SimpleAtoi(given, &seed)) ADD_FAILURE() << "DUNLIN_SEED";
  return seed;
}

bool IsAnAnswer(const absl::Status& status) {
  return status.ok() || absl::IsFailedPrecondition(status);
}

class ChaosTest : public StoreTest {
 protected:
  void Command(Store& store, int which) {
    const absl::Status status = which == 0   ? Pause(store).status()
                                : which == 1 ? Cancel(store).status()
                                             : Resume(store).status();
    EXPECT_TRUE(IsAnAnswer(status)) << status;
  }
  void Act(Store& store, ScriptedAgent& agent, std::mt19937& random) {
    static constexpr agent_pb::Problem::Kind kKinds[] = {
        agent_pb::Problem::KIND_NONE,       agent_pb::Problem::KIND_TRANSIENT,
        agent_pb::Problem::KIND_DATA,       agent_pb::Problem::KIND_LEDGER_MISMATCH,
        agent_pb::Problem::KIND_DEFINITION, agent_pb::Problem::KIND_PAUSE};
    switch (random() % 24) {
      case 0:
        return Command(store, 0);
      case 1:
        return Command(store, 1);
      case 2:
      case 3:
      case 4:
        return Command(store, 2);
      case 5:
        return agent.Die();
      case 6:
        return agent.AcquireAndLoseAnswer();
      case 7:
        agent.ReleaseOneWith(kKinds[random() % std::size(kKinds)], "a test's problem");
        return;
      case 8:
        Exec(
            "UPDATE dunlin_store.shard SET expires_at = clock_timestamp() WHERE lease_id IS NOT "
            "NULL; UPDATE dunlin_store.task SET expires_at = clock_timestamp() WHERE lease_id IS "
            "NOT NULL");
        return;
      case 9:
        EXPECT_TRUE(store.RevokeAllLeases("a test").ok());
        return;
      case 10:
      case 11:
      case 12:
        return agent.Acquire();
      case 13:
      case 14:
        return agent.Heartbeat();
      case 15:
      case 16:
        return agent.Work();
      default:
        return agent.Step();
    }
  }
};

TEST_F(ChaosTest, I1_I2_AnyOrderOfCommandsAndDeathsEndsWithEveryKeyOnce) {
  const uint32_t seed = Seed();
  SCOPED_TRACE(absl::StrCat("DUNLIN_SEED=", seed));
  std::mt19937 random(seed);
  const auto one = MakeStore(absl::Seconds(2)), two = MakeStore(absl::Seconds(2));
  const auto port_one = MakeStorePort(*one), port_two = MakeStorePort(*two);
  for (int round = 0; round < 4; ++round) {
    FakeLedger ledger(20 + static_cast<int>(random() % 500), 1 + static_cast<int>(random() % 6));
    const std::string run =
        Start(*one,
              round % 2 == 0 ? "" : "verify: SELECT count(*) FROM t WHERE n <> 1 AND :batch\n")
            .run_id();
    {
      ScriptedAgent a(*port_one, ledger, {.name = "a", .slots = 3, .rows_per_key = 10'000});
      ScriptedAgent b(*port_two, ledger, {.name = "b", .slots = 2, .rows_per_key = 10'000});
      for (int i = 0; i < 150 && !HasFailure(); ++i) {
        Act(random() % 2 == 0 ? *one : *two, random() % 2 == 0 ? a : b, random);
        if (random() % 4 == 0) {
          const absl::Status swept = (random() % 2 == 0 ? *one : *two).Sweep();
          EXPECT_TRUE(swept.ok()) << swept;
        }
      }
    }
    Exec(
        "UPDATE dunlin_store.shard SET expires_at = clock_timestamp(); "
        "UPDATE dunlin_store.task SET expires_at = clock_timestamp()");
    ScriptedAgent last(*port_two, ledger, {.name = "last"});
    for (int i = 0; i < 300 && State(*two, run) != "FINISHED" && !HasFailure(); ++i) {
      const std::string state = State(*two, run);
      if (state == "PAUSED" || state == "FAILED" || state == "CANCELLED") Command(*two, 2);
      Exec(
          "UPDATE dunlin_store.shard SET not_before = '-infinity'; "
          "UPDATE dunlin_store.task SET not_before = '-infinity'");
      last.Step();
      const absl::Status swept = one->Sweep();
      EXPECT_TRUE(swept.ok()) << swept;
    }
    EXPECT_EQ(State(*two, run), "FINISHED") << Get(*two, run).ShortDebugString();
    EXPECT_EQ(ledger.WrongKeys(0), 0);
    EXPECT_TRUE(ledger.finished());
    ExpectEventsInOrder(run);
    if (HasFailure()) return;
    Exec("UPDATE dunlin_store.run SET migration = migration || id");  // the name is free again
  }
}

}  // namespace
}  // namespace dunlin::coordinator
