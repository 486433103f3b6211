// Real processes on a real server: nothing here knows the code, only the command line and the
// tables.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/testlib/pg_server.h"

namespace dunlin::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kName = "20261123120000_count_up";

class EndToEnd : public ::testing::Test {
 protected:
  void SetUp() override { server_.CreateDatabase("app"); }

  // `n` counts what was done to each row: the oracle of I1, by a statement that is not idempotent.
  void MakeTable(const std::string& key_type, const std::string& key_of_g, int rows) {
    server_.Exec(
        "app", absl::StrCat(
                   "CREATE TABLE items (id ", key_type,
                   " PRIMARY KEY, n int NOT NULL DEFAULT 0, body text); INSERT INTO items SELECT ",
                   key_of_g, ", 0, repeat('x', 20) FROM generate_series(1, ", rows, ") g"));
  }
  std::string WriteFile(const std::string& text, const std::string& name = kName) {
    // Tests run side by side: a folder of this process's own.
    const std::string folder = absl::StrCat(::testing::TempDir(), "dunlin_e2e_", getpid());
    std::filesystem::create_directories(folder);
    const std::string path = absl::StrCat(folder, "/", name, ".yaml");
    std::ofstream(path) << text;
    return path;
  }
  std::string CountUp(const std::string& more = "") {
    return WriteFile(
        absl::StrCat("description: Count every row once\ntable: items\nbatch: UPDATE items SET n = "
                     "n + 1 WHERE :batch\n",
                     more));
  }
  RunResult Dunlin(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Binary("dunlin"));
    return RunToEnd(arguments);
  }
  RunResult OnDatabase(std::vector<std::string> arguments) {
    arguments.push_back("--database");
    arguments.push_back(server_.Dsn("app"));
    return Dunlin(arguments);
  }
  std::unique_ptr<Process> StartLocal(const std::string& file) {
    return std::make_unique<Process>(std::vector<std::string>{Binary("dunlin"), "local", file,
                                                              "--database", server_.Dsn("app")});
  }
  int64_t RowsDone() {
    if (server_.Int("app", "SELECT (to_regclass('dunlin.shard') IS NOT NULL)::int") == 0) return 0;
    return server_.Int("app", "SELECT coalesce(sum(rows_done), 0)::bigint FROM dunlin.shard");
  }
  void ExpectEachRowOnce(int rows) {
    EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE n <> 1"), 0);
    EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items"), rows);
    EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM dunlin.run WHERE outcome = 'finished'"), 1);
  }

  PgServer server_;
};

TEST_F(EndToEnd, LocalRunsAFileToTheEndAndSaysSoTheSecondTime) {
  MakeTable("bigint", "g * 3 - 50000", 60'000);
  const std::string file = CountUp();
  const RunResult first = OnDatabase({"local", file});
  EXPECT_EQ(first.exit_code, 0) << first.output;
  ExpectEachRowOnce(60'000);
  const RunResult second = OnDatabase({"local", file});
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_THAT(second.output, HasSubstr("finished"));
  ExpectEachRowOnce(60'000);
  const RunResult status = OnDatabase({"status", "20261123120000", "-o", "json"});
  EXPECT_EQ(status.exit_code, 0);
  const auto json = nlohmann::json::parse(status.output);
  EXPECT_EQ(json["state"], "FINISHED");
  EXPECT_EQ(json["rows_done"], 60'000);
  EXPECT_EQ(json["rows_total"], 60'000);
  EXPECT_EQ(json["rows_changed"], 60'000);
}

TEST_F(EndToEnd, I1_EveryRowOnceWhenLocalIsKilledAgainAndAgain) {
  MakeTable("uuid", "md5(g::text)::uuid", 120'000);
  const std::string file = CountUp("limits: {batch_time: 5ms, rows_per_second: 60000}\n");
  int kills = 0;
  for (int64_t wanted = 20'000; wanted <= 100'000; wanted += 20'000) {
    std::unique_ptr<Process> local = StartLocal(file);
    ASSERT_TRUE(Eventually(absl::Seconds(60), [&] {
      return RowsDone() >= wanted || !local->Running();
    })) << local->Output();
    if (!local->Running()) break;
    local->Signal(SIGKILL);
    local->Wait(absl::Seconds(10));
    ++kills;
  }
  EXPECT_GE(kills, 3);
  const RunResult last = OnDatabase({"local", file});
  EXPECT_EQ(last.exit_code, 0) << last.output;
  ExpectEachRowOnce(120'000);
}

TEST_F(EndToEnd, ASecondLocalIsRefusedAndCtrlCSaysHowToGoOn) {
  MakeTable("bigint", "g", 100'000);
  const std::string file = CountUp("limits: {rows_per_second: 20000}\n");
  std::unique_ptr<Process> local = StartLocal(file);
  ASSERT_TRUE(Eventually(absl::Seconds(60), [&] { return RowsDone() > 0; })) << local->Output();
  const RunResult second = OnDatabase({"local", file});
  EXPECT_EQ(second.exit_code, 5) << second.output;
  EXPECT_THAT(second.output, HasSubstr("another `dunlin local`"));
  local->Signal(SIGINT);
  EXPECT_EQ(local->Wait(absl::Seconds(20)), 130) << local->Output();
  EXPECT_THAT(local->Output(), HasSubstr("Go on with: dunlin local"));
}

TEST_F(EndToEnd, MistakesAreSentencesAndNothingIsHalfDone) {
  MakeTable("bigint", "g", 1'000);
  const RunResult yaml =
      OnDatabase({"local", WriteFile("description: x\ntable: items\nbatch: UPDATE items SET n = 1 "
                                     "WHERE :batch\nlimts: {}\n")});
  EXPECT_EQ(yaml.exit_code, 2);
  EXPECT_THAT(yaml.output, HasSubstr(":4:1"));
  const RunResult column = OnDatabase(
      {"local",
       WriteFile("description: x\ntable: items\nbatch: UPDATE items SET nope = 1 WHERE :batch\n",
                 "20261123120001_bad")});
  EXPECT_EQ(column.exit_code, 1) << column.output;
  EXPECT_THAT(column.output, HasSubstr("nope"));
  const RunResult nobody =
      Dunlin({"status", "--coordinator", absl::StrCat("127.0.0.1:", FreePort())});
  EXPECT_EQ(nobody.exit_code, 4);
  const RunResult secret = Dunlin({"status", "--database", "postgresql://u:geheim@[bad"});
  EXPECT_EQ(secret.exit_code, 2);
  EXPECT_THAT(secret.output, Not(HasSubstr("geheim")));
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE n <> 0"), 0);
  // A mended file under the same name may run: nothing was ever changed by the old one.
  const RunResult mended = OnDatabase(
      {"local",
       WriteFile("description: x\ntable: items\nbatch: UPDATE items SET n = n + 1 WHERE :batch\n",
                 "20261123120001_bad")});
  EXPECT_EQ(mended.exit_code, 0) << mended.output;
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE n <> 1"), 0);
}

TEST_F(EndToEnd, ADataErrorPausesTheRunAtTheRowAndTheRestIsDoneOnceAfterwards) {
  MakeTable("bigint", "g", 30'000);
  server_.Exec("app",
               "ALTER TABLE items ADD amount int; UPDATE items SET body = '7'; UPDATE items SET "
               "body = 'geheim' WHERE id = 12345");
  const std::string file = WriteFile(
      "description: x\ntable: items\nbatch: UPDATE items SET amount = body::int, n = n + 1 WHERE "
      ":batch\nlimits: {concurrency: 1, max_quarantined: 0}\n");
  const RunResult run = OnDatabase({"local", file});
  EXPECT_EQ(run.exit_code, 1) << run.output;
  EXPECT_THAT(run.output, HasSubstr("22P02"));
  EXPECT_THAT(run.output, HasSubstr("(12345)"));
  EXPECT_THAT(run.output, Not(HasSubstr("geheim")));  // I8
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE n > 1"), 0);
  server_.Exec("app", "UPDATE items SET body = '8' WHERE id = 12345");
  EXPECT_EQ(OnDatabase({"resume", "20261123120000"}).exit_code, 0);
  const RunResult again = OnDatabase({"local", file});
  EXPECT_EQ(again.exit_code, 0) << again.output;
  ExpectEachRowOnce(30'000);
}

TEST_F(EndToEnd, TheDbasSwitchStopsBatchesAndLetsThemGoOn) {
  MakeTable("bigint", "g", 60'000);
  const std::string file = CountUp("limits: {rows_per_second: 15000}\n");
  std::unique_ptr<Process> local = StartLocal(file);
  ASSERT_TRUE(Eventually(absl::Seconds(60), [&] { return RowsDone() > 0; })) << local->Output();
  server_.Exec("app", "SELECT dunlin.stop('backup runs')");
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    return OnDatabase({"status", "20261123120000"})
               .output.find("stopped in the database: backup runs") != std::string::npos;
  }));
  const int64_t at = server_.Int("app", "SELECT count(*) FROM items WHERE n = 1");
  EXPECT_EQ(OnDatabase({"status", "20261123120000"}).exit_code, 3);
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE n = 1"), at);
  server_.Exec("app", "SELECT dunlin.go()");
  EXPECT_EQ(local->Wait(absl::Minutes(1)), 0) << local->Output();
  ExpectEachRowOnce(60'000);
}

// Two coordinators on one store, three agents on a target, a lease of 3 s.
class Cluster : public EndToEnd {
 protected:
  void SetUp() override {
    EndToEnd::SetUp();
    server_.CreateDatabase("store");
    for (int i = 0; i < 2; ++i) ports_.push_back(FreePort());
    for (int i = 0; i < 2; ++i) coordinators_.push_back(StartCoordinator(i));
    for (int i = 0; i < 3; ++i) agents_.push_back(StartAgent());
  }
  std::unique_ptr<Process> StartCoordinator(int i) {
    return std::make_unique<Process>(std::vector<std::string>{
        Binary("dunlin-coordinator"), "--store", server_.Dsn("store"), "--listen",
        absl::StrCat("127.0.0.1:", ports_[static_cast<size_t>(i)]), "--lease-ttl", "3s"});
  }
  std::string Addresses() const {
    return absl::StrCat("127.0.0.1:", ports_[0], ",127.0.0.1:", ports_[1]);
  }
  std::unique_ptr<Process> StartAgent() {
    return std::make_unique<Process>(
        std::vector<std::string>{Binary("dunlin-agent"), "--coordinator", Addresses(), "--target",
                                 absl::StrCat("app=", server_.Dsn("app")), "--slots", "2"});
  }
  RunResult OnCluster(std::vector<std::string> arguments) {
    arguments.push_back("--coordinator");
    arguments.push_back(Addresses());
    return Dunlin(arguments);
  }
  std::string State() {
    const RunResult status = OnCluster({"status", "20261123120000", "-o", "json"});
    const auto json = nlohmann::json::parse(status.output, nullptr, false);
    return json.is_object() ? json.value("state", "") : status.output;
  }

  size_t AHolder();

  std::vector<int> ports_;
  std::vector<std::unique_ptr<Process>> coordinators_;
  std::vector<std::unique_ptr<Process>> agents_;
};

// An agent that works on a shard at present: agents are called host:pid.
size_t Cluster::AHolder() {
  size_t holder = agents_.size();
  const bool found = Eventually(absl::Seconds(30), [&] {
    const std::string name = server_.Text(
        "store",
        "SELECT a.name FROM dunlin_store.shard s JOIN dunlin_store.agent a ON a.id = s.agent "
        "WHERE s.lease_id IS NOT NULL ORDER BY a.heartbeat_at DESC LIMIT 1");
    for (size_t i = 0; i < agents_.size(); ++i)
      if (absl::EndsWith(name, absl::StrCat(":", agents_[i]->pid()))) holder = i;
    return holder < agents_.size();
  });
  EXPECT_TRUE(found) << State();
  return found ? holder : 0;
}

TEST_F(Cluster, I1_I3_EveryRowOnceWhileEverythingIsKilledAndStopped) {
  // Keys of mixed case, quotes and backslashes, two columns.
  server_.Exec("app",
               R"(CREATE TABLE items (a text, b uuid, n int NOT NULL DEFAULT 0, PRIMARY KEY (a, b));
    INSERT INTO items SELECT CASE g % 4 WHEN 0 THEN 'It''s' WHEN 1 THEN 'back\slash' WHEN 2 THEN 'ÜbER,{x}' ELSE '"q"' END || g % 97,
      md5(g::text)::uuid FROM generate_series(1, 150000) g; ANALYZE items)");
  const std::string file =
      CountUp("target: app\nlimits: {batch_time: 5ms, rows_per_second: 12000, concurrency: 6}\n");
  const RunResult started = OnCluster({"start", file});
  ASSERT_EQ(started.exit_code, 0) << started.output;
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] { return RowsDone() > 5'000; })) << State();
  for (int round = 0; round < 6; ++round) {
    const size_t victim = AHolder();
    const int64_t before = RowsDone();
    switch (round) {
      case 0:
      case 3:
        agents_[victim]->Signal(SIGKILL);
        agents_[victim] = StartAgent();
        break;
      case 1: {
        agents_[victim]->Signal(SIGSTOP);  // for longer than a lease: its shards go to others, and
                                           // its backends are fenced off
        const int64_t epochs =
            server_.Int("store", "SELECT sum(epoch)::bigint FROM dunlin_store.shard");
        EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
          return server_.Int("store", "SELECT sum(epoch)::bigint FROM dunlin_store.shard") >
                     epochs &&
                 server_.Int(
                     "store",
                     "SELECT count(*) FROM dunlin_store.event WHERE kind = 'lease_expired'") > 0;
        }));
        agents_[victim]->Signal(SIGCONT);
        break;
      }
      case 2:
        coordinators_[0]->Signal(SIGKILL);
        coordinators_[0]->Wait(absl::Seconds(10));
        coordinators_[0] = StartCoordinator(0);
        break;
      case 4:
        server_.CrashAndRestart();
        break;
      default:
        server_.Exec("app",
                     "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                     "application_name LIKE 'dunlin/2%'");
    }
    ASSERT_TRUE(Eventually(absl::Minutes(1),
                           [&] { return RowsDone() > before + 3'000 || State() == "FINISHED"; }))
        << "round " << round << ": " << State();
  }
  ASSERT_TRUE(Eventually(absl::Minutes(2), [&] { return State() == "FINISHED"; }))
      << OnCluster({"status"}).output;
  ExpectEachRowOnce(150'000);
}

TEST_F(Cluster, I6_I7_APauseSurvivesTheCoordinatorsAndMeansThatNothingRuns) {
  MakeTable("bigint", "g", 100'000);
  ASSERT_EQ(
      OnCluster({"start", CountUp("target: app\nlimits: {rows_per_second: 10000}\n")}).exit_code,
      0);
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] { return RowsDone() > 1'000; })) << State();
  const RunResult paused = OnCluster({"pause", "20261123120000", "--reason", "checkout is slow"});
  ASSERT_EQ(paused.exit_code, 0) << paused.output;
  const int64_t at = RowsDone();
  for (auto& coordinator : coordinators_) coordinator->Signal(SIGKILL);
  for (int i = 0; i < 2; ++i) {
    coordinators_[static_cast<size_t>(i)]->Wait(absl::Seconds(10));
    coordinators_[static_cast<size_t>(i)] = StartCoordinator(i);
  }
  EXPECT_EQ(State(), "PAUSED");
  EXPECT_EQ(RowsDone(), at);
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE n <> 0"), at);
  EXPECT_THAT(OnCluster({"events", "20261123120000"}).output, HasSubstr("checkout is slow"));
  EXPECT_EQ(OnCluster({"cancel", "20261123120000"}).exit_code, 0);
}

TEST_F(Cluster, I11_AWatchSurvivesTheDeathOfItsCoordinator) {
  MakeTable("bigint", "g", 60'000);
  ASSERT_EQ(
      OnCluster({"start", CountUp("target: app\nlimits: {rows_per_second: 10000}\n")}).exit_code,
      0);
  Process watch(
      {Binary("dunlin"), "watch", "20261123120000", "-o", "json", "--coordinator", Addresses()});
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] { return RowsDone() > 10'000; })) << State();
  coordinators_[0]->Signal(SIGKILL);
  EXPECT_EQ(watch.Wait(absl::Minutes(1)), 0) << watch.Output();
  // Each event of the store after the snapshot came, once, in order.
  std::vector<int64_t> seen;
  int64_t snapshot = -1;
  std::istringstream lines(watch.Output());
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json["kind"] == "snapshot") {
      EXPECT_EQ(snapshot, -1) << "a second snapshot: something was missed";
      snapshot = json["revision"];
    } else if (json.contains("actor")) {
      seen.push_back(json["revision"]);
    }
  }
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  const int64_t expected = server_.Int(
      "store", absl::StrCat("SELECT count(*) FROM dunlin_store.event WHERE revision > ", snapshot));
  EXPECT_EQ(static_cast<int64_t>(seen.size()), expected);
}

}  // namespace
}  // namespace dunlin::testing
