// A primary and a replica that has fallen behind: the primary dies and the replica is promoted, so
// that the target's last moments are lost. Coordinator and agents are real processes, told nothing
// but both addresses. The oracle is n = n + 1 on the promoted server.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/testlib/mini_cluster.h"

namespace dunlin::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kName = "20261123120000_count_up";
constexpr int kRows = 60'000;

class FailoverEndToEnd : public ::testing::Test {
 protected:
  void SetUp() override {
    primary_.CreateDatabase("app");
    primary_.Exec("app", absl::StrCat("CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL "
                                      "DEFAULT 0); INSERT INTO items SELECT g FROM "
                                      "generate_series(1, ",
                                      kRows, ") g; ANALYZE items"));
    replica_ = primary_.MakeReplica();
    cluster_ = std::make_unique<MiniCluster>(
        store_, MiniClusterOptions{
                    .coordinators = 1,
                    .agents = 2,
                    .target_flags = {"--target",
                                     absl::StrCat("app=", primary_.DsnWith(*replica_, "app"))}});
    cluster_->WaitForAgents();
    folder_ = absl::StrCat(::testing::TempDir(), "dunlin_failover_", getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Start(const std::string& more = "") {
    const std::string file = absl::StrCat(folder_, "/", kName, ".yaml");
    std::ofstream(file) << "description: Count every row once\ntable: items\n"
                        << "batch: UPDATE items SET n = n + 1 WHERE :batch\n"
                        << more;
    const RunResult started = cluster_->Dunlin({"start", file});
    ASSERT_EQ(started.exit_code, 0) << started.output;
  }
  void FailOver() {
    primary_.Kill();
    replica_->Promote();
  }
  int64_t RowsDone(PgServer& server) {
    if (server.Int("app", "SELECT (to_regclass('dunlin.shard') IS NOT NULL)::int") == 0) return 0;
    return server.Int("app", "SELECT coalesce(sum(rows_done), 0)::bigint FROM dunlin.shard");
  }
  ::testing::AssertionResult Reaches(const std::string& state) {
    if (Eventually(absl::Minutes(2), [&] { return cluster_->State(kName) == state; }))
      return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << cluster_->Dunlin({"show", kName}).output;
  }
  // Finished, for the store and for the promoted server, and each row changed once there.
  void ExpectFinishedOnTheReplica() {
    ASSERT_TRUE(Eventually(absl::Minutes(2), [&] {
      return cluster_->State(kName) == "FINISHED" &&
             replica_->Int("app", "SELECT (to_regclass('dunlin.run') IS NOT NULL)::int") == 1 &&
             replica_->Int("app", "SELECT count(*) FROM dunlin.run WHERE outcome = 'finished'") ==
                 1;
    })) << cluster_->Dunlin({"show", kName}).output;
    EXPECT_EQ(replica_->Int("app", "SELECT count(*) FROM items WHERE n <> 1"), 0);
    EXPECT_EQ(replica_->Int("app", "SELECT count(*) FROM items"), kRows);
    EXPECT_EQ(cluster_->Dunlin({"gate", kName}).exit_code, 0);
  }

  PgServer store_;
  PgServer primary_;
  std::unique_ptr<PgServer> replica_;
  std::unique_ptr<MiniCluster> cluster_;
  std::string folder_;
};

TEST_F(FailoverEndToEnd, I1_BatchesThatTheReplicaDoesNotHaveAreDoneAgain) {
  ASSERT_NO_FATAL_FAILURE(Start("limits: {rows_per_second: 20000, batch_time: 5ms}\n"));
  ASSERT_TRUE(Eventually(absl::Minutes(1), [&] { return RowsDone(primary_) > 5'000; }));
  replica_->FallBehind();
  const int64_t kept = RowsDone(*replica_);
  ASSERT_TRUE(Eventually(absl::Minutes(1), [&] { return RowsDone(primary_) > kept + 10'000; }));
  FailOver();
  ASSERT_LT(RowsDone(*replica_), kRows);
  ExpectFinishedOnTheReplica();
  EXPECT_THAT(cluster_->Dunlin({"events", kName}).output,
              HasSubstr("target app has failed over (timeline 1 → 2)"));
}

TEST_F(FailoverEndToEnd, AFinishedRunWhoseEndWasLostFinishesAgain) {
  ASSERT_NO_FATAL_FAILURE(Start("limits: {rows_per_second: 30000, batch_time: 5ms}\n"));
  ASSERT_TRUE(Eventually(absl::Minutes(1), [&] { return RowsDone(primary_) > kRows / 2; }));
  replica_->FallBehind();
  ASSERT_TRUE(Reaches("FINISHED"));
  ASSERT_EQ(replica_->Int("app", "SELECT count(*) FROM dunlin.run WHERE outcome = 'finished'"), 0);
  FailOver();
  ExpectFinishedOnTheReplica();
}

TEST_F(FailoverEndToEnd, ARunOfWhichTheReplicaHasNothingIsPlannedAgain) {
  replica_->FallBehind();
  ASSERT_NO_FATAL_FAILURE(Start("limits: {rows_per_second: 20000, batch_time: 5ms}\n"));
  ASSERT_TRUE(Eventually(absl::Minutes(1), [&] { return RowsDone(primary_) > 5'000; }));
  FailOver();
  ASSERT_EQ(replica_->Int("app", "SELECT count(*) FROM items WHERE n <> 0"), 0);
  ExpectFinishedOnTheReplica();
}

TEST_F(FailoverEndToEnd, OnTheSameTimelineALostRecordFailsTheRun) {
  ASSERT_NO_FATAL_FAILURE(Start("limits: {rows_per_second: 5000, batch_time: 5ms}\n"));
  ASSERT_TRUE(Eventually(absl::Minutes(1), [&] { return RowsDone(primary_) > 5'000; }));
  primary_.Exec("app",
                "DELETE FROM dunlin.quarantine; DELETE FROM dunlin.shard; DELETE FROM "
                "dunlin.run");
  ASSERT_TRUE(Reaches("FAILED"));
  const int64_t changed = primary_.Int("app", "SELECT count(*) FROM items WHERE n = 1");
  EXPECT_THAT(cluster_->Dunlin({"show", kName}).output,
              HasSubstr("has lost its record of this run, on the server where it was planned"));
  EXPECT_EQ(primary_.Int("app", "SELECT count(*) FROM items WHERE n = 0"), kRows - changed);
}

}  // namespace
}  // namespace dunlin::testing
