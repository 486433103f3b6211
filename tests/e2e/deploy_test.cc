// A deploy as pipelines do it: several shells run `up` at once, another waits in `gate`, and a
// schema migration is guarded by dunlin.require().
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

class Deploy : public ::testing::Test {
 protected:
  Deploy() : folder_(absl::StrCat(::testing::TempDir(), "dunlin_deploy_", getpid())) {
    std::filesystem::create_directories(folder_);
    for (const std::string& target : targets_) {
      server_.CreateDatabase(target);
      // `log` tells in which order migrations changed rows; `n` how often each row was changed.
      server_.Exec(target,
                   "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, old int); "
                   "INSERT INTO items SELECT g FROM generate_series(1, 2000) g; ANALYZE items; "
                   "CREATE TABLE log (id bigserial, migration text)");
    }
  }
  ~Deploy() override { std::filesystem::remove_all(folder_); }

  void StartCluster() {
    cluster_ = std::make_unique<MiniCluster>(
        server_, MiniClusterOptions{.coordinators = 2, .agents = 2, .targets = targets_});
    cluster_->WaitForAgents();
  }
  std::string Write(const std::string& name, const std::string& more) {
    const std::string path = absl::StrCat(folder_, "/", name, ".yaml");
    std::ofstream(path) << more;
    return path;
  }
  // Changes each row once more and says so in the log, once a batch.
  void WriteCountUp(const std::string& name, const std::string& more = "") {
    Write(name, absl::StrCat("description: Count\ntarget: shop_%\nsoak: 0s\ntable: items\nbatch:\n"
                             "  - UPDATE items SET n = n + 1 WHERE :batch\n"
                             "  - INSERT INTO log (migration) SELECT '",
                             name, "' FROM items WHERE :batch LIMIT 1\n", more));
  }
  std::unique_ptr<Process> StartDunlin(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), Binary("dunlin"));
    arguments.insert(arguments.end(), {"--coordinator", cluster_->Addresses()});
    return std::make_unique<Process>(arguments);
  }

  const std::string folder_;
  const std::vector<std::string> targets_ = {"shop_de", "shop_fi", "shop_us"};
  PgServer server_;
  std::unique_ptr<MiniCluster> cluster_;
};

TEST_F(Deploy, TenMigrationsThreeTargetsFourShellsAGateAndAGuard) {
  std::vector<std::string> names;
  for (int i = 0; i < 10; ++i) {
    names.push_back(absl::StrCat("2026110", i, "000000_m", i));
    // The fourth waits for nothing, the seventh for two; the others begin in version order.
    WriteCountUp(names.back(), i == 3 ? "depends_on: []\n"
                               : i == 6
                                   ? absl::StrCat("depends_on: [", names[1], ", ", names[3], "]\n")
                                   : "");
  }
  StartCluster();
  std::unique_ptr<Process> gate = StartDunlin({"gate", folder_, "--wait", "--timeout", "2m"});
  std::vector<std::unique_ptr<Process>> shells;
  for (int i = 0; i < 4; ++i)
    shells.push_back(StartDunlin({"up", folder_, "--reason", absl::StrCat("host ", i)}));
  for (auto& shell : shells) EXPECT_EQ(shell->Wait(absl::Minutes(1)), 0) << shell->Output();
  EXPECT_EQ(gate->Wait(absl::Minutes(2)), 0) << gate->Output();

  EXPECT_EQ(server_.Int("store", "SELECT count(*) FROM dunlin_store.run"), 30);
  for (const std::string& target : targets_) {
    EXPECT_EQ(server_.Int(target, "SELECT count(*) FROM items WHERE n <> 10"), 0) << target;
    EXPECT_EQ(server_.Int(target, "SELECT count(*) FROM dunlin.run WHERE outcome = 'finished'"),
              10);
    // Nobody overtook: each but the fourth began behind the end of the one before.
    EXPECT_EQ(
        server_.Int(target,
                    "SELECT count(*) FROM (SELECT migration, min(id) AS first, max(id) AS "
                    "last FROM log GROUP BY 1) a JOIN (SELECT migration, max(id) AS last FROM "
                    "log GROUP BY 1) b ON b.migration < a.migration WHERE a.first < b.last "
                    "AND a.migration NOT LIKE '%_m3' AND a.migration NOT LIKE '%_m6'"),
        0)
        << target;
  }
  // Again: nothing to do, and it says so.
  const RunResult again = cluster_->Dunlin({"up", folder_});
  EXPECT_EQ(again.exit_code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("30 finished already"));

  // The guard of a later schema migration, by a role that owns the table only.
  server_.Exec("shop_fi", "CREATE ROLE schema_owner; ALTER TABLE items OWNER TO schema_owner");
  const std::string drop = absl::StrCat("SET ROLE schema_owner; SELECT dunlin.require('", names[9],
                                        "', soak => interval '2 seconds'); "
                                        "ALTER TABLE items DROP COLUMN old");
  server_.Exec("shop_fi",
               absl::StrCat("UPDATE dunlin.run SET finished_at = clock_timestamp() WHERE "
                            "name = '",
                            names[9], "'"));
  const auto session = server_.Connect("shop_fi");
  EXPECT_EQ(pg::SqlStateOf(session->ExecuteScript(drop)), "DN005");
  EXPECT_EQ(server_.Int("shop_fi",
                        "SELECT count(*) FROM information_schema.columns WHERE table_name "
                        "= 'items' AND column_name = 'old'"),
            1);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return session->ExecuteScript(drop).ok(); }));
  const RunResult unsoaked = cluster_->Dunlin({"gate", names[9], "--soak", "7d"});
  EXPECT_EQ(unsoaked.exit_code, 3) << unsoaked.output;
  EXPECT_THAT(unsoaked.output, HasSubstr("dunlin: 3 of 3 are not finished and soaked\n"));
  EXPECT_THAT(cluster_->Dunlin({"gate", folder_}).output, HasSubstr("all 30 are finished\n"));
}

TEST_F(Deploy, UpTellsWhatNeedsAPersonWhatChangedAndWhatHasVanished) {
  WriteCountUp("20261101000000_first");
  Write("20261102000000_bad",
        "description: x\ntarget: shop_fi\ndepends_on: []\ntable: items\nbatch: UPDATE items SET "
        "nope = 1 WHERE :batch\n");
  StartCluster();
  const RunResult dry = cluster_->Dunlin({"up", folder_, "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.output;
  EXPECT_THAT(dry.output, HasSubstr("4 would start"));
  EXPECT_EQ(server_.Int("store", "SELECT count(*) FROM dunlin_store.run"), 0);
  const RunResult started = cluster_->Dunlin({"up", folder_, "--wait"});
  EXPECT_EQ(started.exit_code, 1) << started.output;
  const RunResult gate = cluster_->Dunlin({"gate", folder_, "--wait"});
  EXPECT_EQ(gate.exit_code, 1) << gate.output;
  EXPECT_THAT(gate.output, HasSubstr("20261102000000_bad is FAILED on shop_fi"));
  EXPECT_THAT(gate.output, HasSubstr("1 of 4 is not finished, 1 of them needs a person"));
  const RunResult again = cluster_->Dunlin({"up", folder_});
  EXPECT_EQ(again.exit_code, 1) << again.output;
  EXPECT_THAT(again.output, HasSubstr("Go on with: dunlin resume 20261102000000_bad"));

  // A file that changed rows is frozen; one that did not is replaced.
  WriteCountUp("20261101000000_first", "owner: somebody\n");
  Write("20261102000000_bad",
        "description: x\ntarget: shop_fi\ndepends_on: []\ntable: items\nbatch: UPDATE items SET "
        "old = 1 WHERE :batch\n");
  const RunResult changed = cluster_->Dunlin({"up", folder_, "--wait"});
  EXPECT_EQ(changed.exit_code, 5) << changed.output;
  EXPECT_THAT(changed.output, HasSubstr("A definition that has changed rows is frozen"));
  EXPECT_EQ(server_.Int("shop_fi", "SELECT count(*) FROM items WHERE n <> 1 OR old <> 1"), 0);

  std::filesystem::remove(folder_ + "/20261101000000_first.yaml");
  const RunResult vanished = cluster_->Dunlin({"up", folder_});
  EXPECT_EQ(vanished.exit_code, 0) << vanished.output;
  EXPECT_THAT(vanished.output,
              HasSubstr("1 migrations have a run on these targets and no file here: "
                        "20261101000000_first"));

  const std::string later =
      Write("20261103000000_later",
            "description: x\ntarget: shop_fi\ntable: items\nbatch: UPDATE items "
            "SET n = n + 1 WHERE :batch\n");
  const RunResult begins = cluster_->Dunlin({"start", later, "--at", "2099-01-01T04:00:00+01:00"});
  EXPECT_EQ(begins.exit_code, 0) << begins.output;
  EXPECT_EQ(cluster_->State("20261103000000_later"), "PENDING");
  EXPECT_THAT(cluster_->Dunlin({"show", "20261103000000_later"}).output,
              HasSubstr("2099-01-01 03:00:00Z"));
}

TEST_F(Deploy, TheGateBelievesTheTargetAndNotTheStore) {
  WriteCountUp("20261101000000_first");
  StartCluster();
  ASSERT_EQ(cluster_->Dunlin({"up", folder_, "--wait"}).exit_code, 0);
  const std::vector<std::string> strict = {"gate", folder_, "--confirmed-within", "0s"};
  EXPECT_EQ(cluster_->Dunlin(strict).exit_code, 0) << cluster_->Dunlin(strict).output;
  // As after a restore from a backup of before.
  server_.Exec("shop_us", "DELETE FROM dunlin.shard; DELETE FROM dunlin.run");
  const RunResult lost = cluster_->Dunlin(strict);
  EXPECT_EQ(lost.exit_code, 1) << lost.output;
  EXPECT_THAT(lost.output, HasSubstr("shop_us has no record of it"));
  EXPECT_THAT(lost.output, HasSubstr("1 of 3 is not finished, 1 of them needs a person"));
}

TEST_F(Deploy, AGateThatNobodyAnswersStaysShut) {
  const RunResult silent = RunToEnd({Binary("dunlin"), "gate", "20261101000000_first",
                                     "--coordinator", "127.0.0.1:1", "--wait", "--timeout", "1s"});
  EXPECT_NE(silent.exit_code, 0) << silent.output;
  EXPECT_THAT(silent.output, HasSubstr("127.0.0.1:1"));
  const RunResult nothing =
      RunToEnd({Binary("dunlin"), "gate", folder_, "--coordinator", "127.0.0.1:1"});
  EXPECT_NE(nothing.exit_code, 0) << nothing.output;
  EXPECT_THAT(nothing.output, HasSubstr("there is no migration in"));
}

TEST_F(Deploy, LocalRunsHaveGatesToo) {
  const std::string text =
      "description: Count\nsoak: 1h\ntable: items\nbatch: UPDATE items SET n = n + 1 WHERE "
      ":batch\n";
  const std::string file = Write("20261101000000_first", text);
  const std::vector<std::string> gate = {Binary("dunlin"), "gate", file, "--database",
                                         server_.Dsn("shop_fi")};
  const RunResult none = RunToEnd(gate);
  EXPECT_EQ(none.exit_code, 2) << none.output;
  const RunResult local =
      RunToEnd({Binary("dunlin"), "local", file, "--database", server_.Dsn("shop_fi")});
  ASSERT_EQ(local.exit_code, 0) << local.output;
  EXPECT_EQ(RunToEnd(gate).exit_code, 0);
  std::vector<std::string> soaked = gate;
  soaked.insert(soaked.end(), {"--soak", "file"});
  EXPECT_EQ(RunToEnd(soaked).exit_code, 3) << RunToEnd(soaked).output;
  soaked.back() = "0s";
  EXPECT_EQ(RunToEnd(soaked).exit_code, 0) << RunToEnd(soaked).output;
  Write("20261101000000_first", text + "owner: somebody\n");
  const RunResult edited = RunToEnd(gate);
  EXPECT_EQ(edited.exit_code, 1) << edited.output;
  EXPECT_THAT(edited.output, HasSubstr("with another content than the file"));
  Write("20261101000000_first", text);
  server_.Exec("shop_fi", "UPDATE dunlin.run SET outcome = 'undone'");
  const RunResult undone = RunToEnd(gate);
  EXPECT_EQ(undone.exit_code, 1) << undone.output;
  EXPECT_THAT(undone.output, HasSubstr("was undone on shop_fi"));
  EXPECT_THAT(undone.output, HasSubstr("dunlin redo 20261101000000_first --database …\n"));
}

}  // namespace
}  // namespace dunlin::testing
