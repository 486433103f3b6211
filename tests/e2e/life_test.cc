// Commands about the life of runs, by the binaries that people type.
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
using ::testing::Not;

class Life : public ::testing::Test {
 protected:
  Life() : folder_(absl::StrCat(::testing::TempDir(), "dunlin_life_", getpid())) {
    std::filesystem::create_directories(folder_);
    server_.CreateDatabase("app");
    server_.Exec(
        "app",
        "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO "
        "items SELECT g FROM generate_series(1, 5000) g; ANALYZE items");
  }
  ~Life() override { std::filesystem::remove_all(folder_); }
  void StartCluster() {
    cluster_ = std::make_unique<MiniCluster>(server_, MiniClusterOptions{.agents = 1});
    cluster_->WaitForAgents();
  }
  std::string Write(const std::string& name, const std::string& more = "") const {
    const std::string path = absl::StrCat(folder_, "/", name, ".yaml");
    std::ofstream(path) << "description: Count\nsoak: 0s\ntable: items\nbatch: UPDATE items SET n "
                           "= n + 1 WHERE :batch\n"
                        << more;
    return path;
  }
  RunResult Local(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), Binary("dunlin"));
    arguments.insert(arguments.end(), {"--database", server_.Dsn("app")});
    return RunToEnd(arguments);
  }
  int64_t RowsNot(int n) {
    return server_.Int("app", absl::StrCat("SELECT count(*) FROM items WHERE n <> ", n));
  }

  const std::string folder_;
  PgServer server_;
  std::unique_ptr<MiniCluster> cluster_;
};

constexpr const char* kFirst = "20261101000000_first";
constexpr const char* kSecond = "20261102000000_second";

TEST_F(Life, ACriticalMigrationNeedsATestAReasonAndAColleague) {
  StartCluster();
  const std::string file = Write(kFirst, "critical: true\n");
  const RunResult untested = cluster_->Dunlin({"start", file, "--reason", "tax law"});
  EXPECT_EQ(untested.exit_code, 5) << untested.output;
  EXPECT_THAT(untested.output, HasSubstr("20261101000000_first.test.yaml"));
  std::ofstream(absl::StrCat(folder_, "/", kFirst, ".test.yaml")) << "cases: []\n";
  EXPECT_EQ(cluster_->Dunlin({"start", file}).exit_code, 5);
  const std::vector<std::string> start = {"start",   file,         "--reason",
                                          "tax law", "--operator", "ada"};
  const RunResult started = cluster_->Dunlin(start);
  EXPECT_EQ(started.exit_code, 0) << started.output;
  EXPECT_THAT(started.output, HasSubstr("dunlin approve 20261101000000_first"));
  EXPECT_EQ(cluster_->Dunlin({"gate", kFirst}).exit_code, 1) << "waiting alone does not help";
  const RunResult own = cluster_->Dunlin({"approve", kFirst, "--operator", "ada"});
  EXPECT_EQ(own.exit_code, 5) << own.output;
  EXPECT_EQ(RowsNot(0), 0);
  const RunResult approved =
      cluster_->Dunlin({"approve", kFirst, "--operator", "grace", "--reason", "read it"});
  EXPECT_EQ(approved.exit_code, 0) << approved.output;
  EXPECT_EQ(cluster_->Dunlin({"gate", kFirst, "--wait", "--timeout", "1m"}).exit_code, 0);
  EXPECT_EQ(RowsNot(1), 0);
  EXPECT_THAT(cluster_->Dunlin({"events", kFirst}).output, HasSubstr("grace"));
}

TEST_F(Life, RedoChangesRowsAgainOnlyOnSomebodysWord) {
  StartCluster();
  ASSERT_EQ(cluster_->Dunlin({"start", Write(kFirst), "--wait"}).exit_code, 0);
  const RunResult refused = cluster_->Dunlin({"redo", kFirst});
  EXPECT_EQ(refused.exit_code, 5) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("dunlin redo 20261101000000_first --apply-twice"));
  EXPECT_EQ(RowsNot(1), 0);
  const RunResult redone = cluster_->Dunlin({"redo", kFirst, "--apply-twice"});
  EXPECT_EQ(redone.exit_code, 0) << redone.output;
  EXPECT_EQ(cluster_->Dunlin({"gate", kFirst, "--wait", "--timeout", "1m"}).exit_code, 0);
  EXPECT_EQ(RowsNot(2), 0);
  EXPECT_EQ(
      server_.Text("app", "SELECT string_agg(outcome, ' ' ORDER BY started_at) FROM dunlin.run"),
      "superseded finished");
}

TEST_F(Life, PauseAllStopsEverythingAndResumeAllGoesOn) {
  StartCluster();
  const std::string slow = "depends_on: []\nlimits:\n  pause: 200ms\n  batch_time: 5ms\n";
  ASSERT_EQ(cluster_->Dunlin({"start", Write(kFirst, slow), Write(kSecond, slow)}).exit_code, 0);
  const RunResult paused = cluster_->Dunlin({"pause", "all", "--reason", "checkout is slow"});
  EXPECT_EQ(paused.exit_code, 0) << paused.output;
  EXPECT_EQ(cluster_->State(kFirst), "PAUSED");
  EXPECT_EQ(cluster_->State(kSecond), "PAUSED");
  EXPECT_THAT(paused.output, HasSubstr("dunlin resume all"));
  const RunResult resumed = cluster_->Dunlin({"resume", "all"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_EQ(cluster_->Dunlin({"gate", kFirst, kSecond, "--wait", "--timeout", "2m"}).exit_code, 0);
  EXPECT_EQ(RowsNot(2), 0);
  EXPECT_THAT(cluster_->Dunlin({"resume", "all"}).output, HasSubstr("nothing is paused"));
}

TEST_F(Life, ANewDatabaseIsBaselinedAndOnlyWhatComesAfterRuns) {
  StartCluster();
  Write(kFirst);
  Write(kSecond);
  EXPECT_EQ(cluster_->Dunlin({"baseline", folder_, "--through", "20261101000000"}).exit_code, 2)
      << "a reason is required";
  EXPECT_EQ(cluster_->Dunlin({"baseline", folder_, "--through", "2026", "--reason", "x"}).exit_code,
            2);
  const RunResult recorded = cluster_->Dunlin(
      {"baseline", folder_, "--through", kFirst, "--reason", "made from the template"});
  EXPECT_EQ(recorded.exit_code, 0) << recorded.output;
  EXPECT_THAT(recorded.output, HasSubstr("1 recorded as done elsewhere"));
  EXPECT_EQ(RowsNot(0), 0);
  EXPECT_EQ(cluster_->Dunlin({"gate", kFirst}).exit_code, 0);
  const RunResult up = cluster_->Dunlin({"up", folder_, "--wait"});
  EXPECT_EQ(up.exit_code, 0) << up.output;
  EXPECT_EQ(RowsNot(1), 0) << "the second alone";
  EXPECT_EQ(cluster_->Dunlin({"gate", folder_, "--confirmed-within", "0s", "--wait"}).exit_code, 0);
  const RunResult again =
      cluster_->Dunlin({"baseline", folder_, "--through", kSecond, "--reason", "again"});
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("0 recorded as done elsewhere, 2 finished before"));
}

TEST_F(Life, ALaptopsDatabaseIsBaselinedWithoutAnyProcess) {
  Write(kFirst);
  const std::string second = Write(kSecond);
  const RunResult recorded =
      Local({"baseline", folder_, "--through", kFirst, "--reason", "a dump of staging"});
  EXPECT_EQ(recorded.exit_code, 0) << recorded.output;
  const RunResult local = Local({"local", folder_ + "/" + kFirst + ".yaml", second});
  EXPECT_EQ(local.exit_code, 0) << local.output;
  EXPECT_EQ(RowsNot(1), 0);
}

}  // namespace
}  // namespace dunlin::testing
