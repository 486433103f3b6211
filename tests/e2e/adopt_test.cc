// From `dunlin local`, killed half way, to coordinators and agents.
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/testlib/mini_cluster.h"

namespace dunlin::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kFirst = "20261101000000_first";
constexpr const char* kSecond = "20261102000000_second";
constexpr int kRows = 60'000;

class Adopt : public ::testing::Test {
 protected:
  Adopt() : folder_(absl::StrCat(::testing::TempDir(), "dunlin_adopt_", getpid())) {
    std::filesystem::create_directories(folder_);
    server_.CreateDatabase("app");
    server_.Exec("app", absl::StrCat("CREATE TABLE items (id bigint PRIMARY KEY, a int NOT NULL "
                                     "DEFAULT 0, b int NOT NULL DEFAULT 0); INSERT INTO items "
                                     "SELECT g FROM generate_series(1, ",
                                     kRows, ") g; ANALYZE items"));
  }
  ~Adopt() override { std::filesystem::remove_all(folder_); }
  std::string Write(const std::string& name, const std::string& column,
                    const std::string& more = "") const {
    const std::string path = absl::StrCat(folder_, "/", name, ".yaml");
    std::ofstream(path) << "description: Count\nsoak: 0s\ntable: items\nbatch: UPDATE items SET "
                        << column << " = " << column << " + 1 WHERE :batch\n"
                        << more;
    return path;
  }
  std::vector<std::string> Local(const std::string& file) const {
    return {Binary("dunlin"), "local", file, "--database", server_.Dsn("app")};
  }
  int64_t Rows(const std::string& where) {
    return server_.Int("app", "SELECT count(*) FROM items WHERE " + where);
  }

  const std::string folder_;
  PgServer server_;
};

TEST_F(Adopt, I1_EachRowOnceThoughTheStoreChangesInTheMiddle) {
  const std::string first = Write(kFirst, "a");
  ASSERT_EQ(RunToEnd(Local(first)).exit_code, 0);
  // Slow enough to be caught in the middle.
  const std::string second = Write(kSecond, "b", "limits: {rows_per_second: 20000}\n");
  Process local(Local(second));
  ASSERT_TRUE(Eventually(absl::Seconds(60), [&] { return Rows("b = 1") > 1000; }))
      << local.Output();
  local.Signal(SIGKILL);
  local.Wait(absl::Seconds(20));

  MiniCluster cluster(server_, {.agents = 1});
  cluster.WaitForAgents();
  // Trap 20: it is another store's.
  ASSERT_EQ(cluster.Dunlin({"start", second}).exit_code, 0);
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] { return cluster.State(kSecond) == "FAILED"; }));
  EXPECT_THAT(cluster.Dunlin({"status", kSecond}).output,
              HasSubstr("dunlin adopt app --reason WHY"));
  EXPECT_EQ(cluster.Dunlin({"adopt", "app"}).exit_code, 2) << "a reason is needed";

  const RunResult adopted = cluster.Dunlin({"adopt", "app", "--reason", "to coordinators"});
  ASSERT_EQ(adopted.exit_code, 0) << adopted.output;
  EXPECT_THAT(adopted.output, HasSubstr("target app is this store's now"));
  EXPECT_THAT(adopted.output, HasSubstr("Learned from its ledger: 2 runs"));
  EXPECT_THAT(adopted.output, HasSubstr(absl::StrCat(kSecond, " is PAUSED")));
  EXPECT_THAT(adopted.output, HasSubstr(absl::StrCat("dunlin resume ", kSecond)));
  EXPECT_EQ(cluster.State(kFirst), "FINISHED");
  EXPECT_EQ(cluster.Dunlin({"gate", kFirst, "--confirmed-within", "0s", "--wait"}).exit_code, 0);
  EXPECT_THAT(cluster.Dunlin({"events", kSecond}).output, HasSubstr("to coordinators"));

  // The former store comes back, and changes nothing.
  const int64_t done = Rows("b = 1");
  EXPECT_LT(done, kRows);
  const RunResult back = RunToEnd(Local(second));
  EXPECT_EQ(back.exit_code, 1) << back.output;
  EXPECT_THAT(back.output, HasSubstr("belongs to another store"));
  EXPECT_EQ(Rows("b = 1"), done);

  ASSERT_EQ(cluster.Dunlin({"resume", kSecond}).exit_code, 0);
  const RunResult finished = cluster.Dunlin({"gate", kSecond, "--wait", "--timeout", "2m"});
  EXPECT_EQ(finished.exit_code, 0) << finished.output << cluster.Dunlin({"show", kSecond}).output;
  EXPECT_EQ(Rows("b <> 1"), 0);
  EXPECT_EQ(Rows("a <> 1"), 0);
  EXPECT_EQ(server_.Text("app",
                         "SELECT adopted_by IS NOT NULL AND reason = 'to coordinators' FROM "
                         "dunlin.adoption"),
            "t");

  // Back again, where nobody but the command itself could do it.
  const RunResult returned = RunToEnd({Binary("dunlin"), "adopt", "app", "--reason", "on a laptop",
                                       "--database", server_.Dsn("app")});
  EXPECT_EQ(returned.exit_code, 0) << returned.output;
  EXPECT_THAT(returned.output, HasSubstr("none of its migrations is open"));
  EXPECT_EQ(RunToEnd(Local(second)).exit_code, 0) << "finished already";
}

}  // namespace
}  // namespace dunlin::testing
