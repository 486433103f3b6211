// Undo, as an operator does it, with real processes.
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

constexpr const char* kName = "20261101000000_rates";

class Undo : public ::testing::Test {
 protected:
  Undo() : folder_(absl::StrCat(::testing::TempDir(), "dunlin_undo_", getpid())) {
    std::filesystem::create_directories(folder_);
    server_.CreateDatabase("app");
  }
  ~Undo() override { std::filesystem::remove_all(folder_); }
  void MakeItems(int rows) {
    server_.Exec("app",
                 absl::StrCat("CREATE TABLE items (id bigint PRIMARY KEY, price numeric NOT NULL, "
                              "note text); INSERT INTO items SELECT g, g / 4.0 FROM "
                              "generate_series(1, ",
                              rows, ") g; ANALYZE items"));
  }
  std::string Write(const std::string& more = "") const {
    const std::string path = absl::StrCat(folder_, "/", kName, ".yaml");
    std::ofstream(path)
        << "description: Wrong rates\nsoak: 0s\ntable: items\nbatch: UPDATE items SET "
           "price = price * 1.5 WHERE :batch\nundo: {keep: [price]}\n"
        << more;
    return path;
  }
  // Rows whose price is not what the migration found.
  int64_t RowsNotBack() {
    return server_.Int("app", "SELECT count(*) FROM items WHERE price <> id / 4.0");
  }

  const std::string folder_;
  PgServer server_;
};

TEST_F(Undo, AMillionRowsOnePercentChangedSinceAndAnAgentKilledInTheMiddle) {
  constexpr int kRows = 1'000'000;
  MakeItems(kRows);
  MiniCluster cluster(server_, {.agents = 2});
  cluster.WaitForAgents();
  ASSERT_EQ(cluster.Dunlin({"start", Write()}).exit_code, 0);
  ASSERT_TRUE(Eventually(absl::Minutes(3), [&] { return cluster.State(kName) == "FINISHED"; }));
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM dunlin.before_image"), kRows);
  server_.Exec("app", "UPDATE items SET price = -1 WHERE id % 100 = 7");
  const RunResult begun = cluster.Dunlin({"undo", kName, "--reason", "wrong rate"});
  ASSERT_EQ(begun.exit_code, 0) << begun.output;
  EXPECT_EQ(cluster.Dunlin({"gate", kName}).exit_code, 1);
  ASSERT_TRUE(Eventually(absl::Seconds(60), [&] {
    return server_.Int("app",
                       "SELECT count(*) FROM dunlin.shard s JOIN dunlin.run r ON r.id = s.run "
                       "WHERE r.undoes IS NOT NULL AND s.seq > 0") > 1;
  }));
  cluster.ReplaceAgent(0);
  cluster.ReplaceAgent(1);
  ASSERT_TRUE(Eventually(absl::Minutes(3), [&] { return cluster.State(kName) == "FINISHED"; }));
  EXPECT_EQ(RowsNotBack(), kRows / 100);
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE price = -1"), kRows / 100);
  const auto run = nlohmann::json::parse(cluster.Dunlin({"status", kName, "-o", "json"}).output);
  EXPECT_EQ(run["kind"], "undo");
  EXPECT_EQ(run["rows_left"], kRows / 100);
  EXPECT_EQ(run["rows_changed"], kRows - kRows / 100) << "each exactly once";
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM dunlin.left_by_undo"), kRows / 100);

  // `up` does not run it again, and says how to.
  const RunResult up = cluster.Dunlin({"up", folder_});
  EXPECT_EQ(up.exit_code, 1) << up.output;
  EXPECT_THAT(up.output,
              HasSubstr("was undone on app, so it is not started. To run it again: dunlin "
                        "redo 20261101000000_rates"));
  const RunResult gate = cluster.Dunlin({"gate", kName});
  EXPECT_EQ(gate.exit_code, 1) << gate.output;
  EXPECT_THAT(gate.output, HasSubstr("was undone on app"));
  const RunResult redo = cluster.Dunlin({"redo", kName});
  EXPECT_EQ(redo.exit_code, 5) << "it was not undone completely: " << redo.output;
  EXPECT_EQ(cluster.Dunlin({"undo", kName}).exit_code, 1);
}

TEST_F(Undo, OfAPausedRunThenRedoThenForget) {
  MakeItems(50'000);
  MiniCluster cluster(server_, {.agents = 1});
  cluster.WaitForAgents();
  ASSERT_EQ(cluster.Dunlin({"start", Write(), "--stop-after", "10000", "--wait"}).exit_code, 1);
  EXPECT_GT(RowsNotBack(), 0);
  const RunResult undone = cluster.Dunlin({"undo", kName, "--wait"});
  EXPECT_EQ(undone.exit_code, 0) << undone.output;
  EXPECT_THAT(undone.output, HasSubstr("rows are as they were, all of them"));
  EXPECT_EQ(RowsNotBack(), 0);
  const RunResult redone = cluster.Dunlin({"redo", kName});
  EXPECT_EQ(redone.exit_code, 0) << "it was undone completely: " << redone.output;
  ASSERT_EQ(cluster.Dunlin({"gate", kName, "--wait", "--timeout", "1m"}).exit_code, 0);
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE price <> id / 4.0 * 1.5"), 0);
  const RunResult forgotten = cluster.Dunlin({"forget", kName});
  EXPECT_EQ(forgotten.exit_code, 0) << forgotten.output;
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM dunlin.before_image"), 0);
  const RunResult late = cluster.Dunlin({"undo", kName});
  EXPECT_EQ(late.exit_code, 1) << late.output;
  EXPECT_THAT(late.output, HasSubstr("its before-images were dropped"));
  EXPECT_EQ(cluster.Dunlin({"gate", kName, "--confirmed-within", "0s", "--wait"}).exit_code, 0);
}

TEST_F(Undo, OnALaptop) {
  MakeItems(10'000);
  const std::vector<std::string> database = {"--database", server_.Dsn("app")};
  const auto dunlin = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Binary("dunlin"));
    arguments.insert(arguments.end(), database.begin(), database.end());
    return RunToEnd(arguments);
  };
  ASSERT_EQ(dunlin({"local", Write()}).exit_code, 0);
  const RunResult undone = dunlin({"undo", kName});
  EXPECT_EQ(undone.exit_code, 0) << undone.output;
  EXPECT_THAT(undone.output, HasSubstr("10,000 rows are as they were, all of them"));
  EXPECT_EQ(RowsNotBack(), 0);
  EXPECT_EQ(dunlin({"gate", kName}).exit_code, 1);
}

TEST_F(Undo, WithoutUndoInTheFileThereIsNone) {
  MakeItems(100);
  const std::string path = absl::StrCat(folder_, "/", kName, ".yaml");
  std::ofstream(path)
      << "description: x\ntable: items\nbatch: UPDATE items SET price = 0 WHERE :batch\n";
  const std::vector<std::string> database = {"--database", server_.Dsn("app")};
  ASSERT_EQ(RunToEnd({Binary("dunlin"), "local", path, "--database", server_.Dsn("app")}).exit_code,
            0);
  const RunResult undone =
      RunToEnd({Binary("dunlin"), "undo", kName, "--database", server_.Dsn("app")});
  EXPECT_EQ(undone.exit_code, 1) << undone.output;
  EXPECT_THAT(undone.output, HasSubstr("its file has no `undo:`, so nothing was kept to put back"));
}

}  // namespace
}  // namespace dunlin::testing
