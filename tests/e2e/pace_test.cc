// What an attentive engineer would watch, Dunlin watches: each harm slows a run down, is named with
// value and limit, and is over when it is over. Real processes on a real server.
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include <nlohmann/json.hpp>

#include "tests/e2e/command_fixture.h"
#include "tests/testlib/mini_cluster.h"

namespace dunlin::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kVersion = "20261123120000";
constexpr absl::Duration kPatience = absl::Seconds(40);

class PaceTest : public ::testing::Test {
 protected:
  void Make(std::vector<std::string> settings = {}) {
    settings.insert(settings.end(), {"wal_level=logical", "max_wal_senders=8"});
    server_ = std::make_unique<PgServer>(settings);
    server_->CreateDatabase("app");
    server_->Exec(
        "app",
        "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO "
        "items SELECT g FROM generate_series(1, 200000) g; CREATE TABLE gate (ok boolean); "
        "INSERT INTO gate VALUES (true); ANALYZE");
    folder_ = absl::StrCat(::testing::TempDir(), "dunlin_pace_", getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    cluster_.reset();
    std::filesystem::remove_all(folder_);
  }
  // A run that would take minutes.
  void Start(const std::string& more, int agents = 1,
             const std::string& batch = "UPDATE items SET n = n + 1 WHERE :batch") {
    cluster_ = std::make_unique<MiniCluster>(
        *server_, MiniClusterOptions{.coordinators = 1,
                                     .agents = agents,
                                     .slots = 4,
                                     .paced = true,
                                     .target_flags = {"--target", absl::StrCat("app=", Dsn())}});
    cluster_->WaitForAgents();
    const std::string path = absl::StrCat(folder_, "/", kVersion, "_count.yaml");
    std::ofstream(path) << "description: Count\ntarget: app\ntable: items\nbatch: " << batch
                        << "\nlimits: {" << limits_ << "}\n"
                        << more;
    const RunResult started = cluster_->Dunlin({"start", path});
    ASSERT_EQ(started.exit_code, 0) << started.output;
    ASSERT_TRUE(Eventually(kPatience, [&] { return Status().value("rows_done", 0) > 0; }))
        << cluster_->Dunlin({"status"}).output;
  }
  std::string Dsn() const {
    return absl::StrReplaceAll(server_->Dsn("app"), {{"postgres@", role_ + "@"}});
  }
  nlohmann::json Status() const {
    const RunResult status = cluster_->Dunlin({"status", kVersion, "-o", "json"});
    auto json = nlohmann::json::parse(status.output, nullptr, false);
    return json.is_object() ? json : nlohmann::json::object();
  }
  std::string Reason() const { return Status().value("throttled_reason", ""); }
  ::testing::AssertionResult Says(const std::string& what) {
    if (Eventually(kPatience, [&] { return absl::StrContains(Reason(), what); }))
      return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "it says: " << Reason() << "\n"
                                         << cluster_->Dunlin({"show", kVersion}).output;
  }
  // No longer for `what`, and rows move.
  ::testing::AssertionResult Recovers(const std::string& what) {
    const int64_t before = Status().value("rows_done", int64_t{0});
    if (Eventually(kPatience, [&] {
          const nlohmann::json now = Status();
          return now.value("rows_done", int64_t{0}) > before &&
                 !absl::StrContains(now.value("throttled_reason", ""), what);
        }))
      return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << Reason();
  }
  std::string ReasonInDatabase() {
    return server_->Text("app", "SELECT throttled_reason FROM dunlin.progress");
  }

  std::unique_ptr<PgServer> server_;
  std::unique_ptr<MiniCluster> cluster_;
  std::string folder_;
  std::string role_ = "postgres";  // of the agents
  std::string limits_ = "rows_per_second: 1500";
};

TEST_F(PaceTest, AFilesOwnCheckStopsTheRunAndSoDoesOneThatCannotBeAsked) {
  Make();
  Start("on_pressure: {check: SELECT ok FROM gate}\n");
  server_->Exec("app", "UPDATE gate SET ok = false");
  ASSERT_TRUE(Says("the file's check answers false: SELECT ok FROM gate"));
  ASSERT_TRUE(
      Eventually(kPatience, [&] { return Status().value("concurrency_allowed", -1) == 0; }));
  ASSERT_TRUE(Says("stopped until it passes"));
  EXPECT_THAT(Reason(), ::testing::ContainsRegex("SELECT ok FROM gate, for [0-9]+ s"));
  // People who have only SQL see it, too.
  EXPECT_TRUE(Eventually(kPatience, [&] {
    return absl::StrContains(ReasonInDatabase(), "the file's check answers false");
  })) << ReasonInDatabase();
  EXPECT_THAT(cluster_->Dunlin({"show", kVersion}).output, HasSubstr("OVER"));
  server_->Exec("app", "UPDATE gate SET ok = true");
  EXPECT_TRUE(Recovers("the file's check"));

  server_->Exec("app", "ALTER TABLE gate RENAME TO gone");
  EXPECT_TRUE(Says("check cannot be measured any more"));
  server_->Exec("app", "ALTER TABLE gone RENAME TO gate");
  EXPECT_TRUE(Recovers("check cannot be measured"));
}

TEST_F(PaceTest, AnotherAgentMeasuresWhenTheOneThatDidIsKilled) {
  Make();
  Start("on_pressure: {check: SELECT ok FROM gate}\n", 2);
  const std::string measurer = server_->Text("store",
                                             "SELECT a.name FROM dunlin_store.target_signals g "
                                             "JOIN dunlin_store.agent a ON a.id = g.agent");
  for (size_t i = 0; i < cluster_->agents(); ++i) {
    if (absl::EndsWith(measurer, absl::StrCat(":", cluster_->agent(i).pid())))
      cluster_->agent(i).Signal(SIGKILL);
  }
  server_->Exec("app", "UPDATE gate SET ok = false");
  ASSERT_TRUE(Says("the file's check answers false"));
  EXPECT_NE(
      server_->Text("store",
                    "SELECT a.name FROM dunlin_store.target_signals g JOIN dunlin_store.agent a "
                    "ON a.id = g.agent"),
      measurer);
}

TEST_F(PaceTest, Trap15_ALongTransactionIsNamedUntilItEnds) {
  Make();
  Start("on_pressure: {oldest_transaction: 2s}\n");
  auto session = server_->Connect("app");
  ASSERT_TRUE(session->Query("BEGIN").ok());
  ASSERT_TRUE(session->Query("SELECT count(*) FROM items").ok());
  ASSERT_TRUE(Says("a transaction of pid"));
  ASSERT_TRUE(Says("(limit 2 s)"));
  ASSERT_TRUE(session->Query("COMMIT").ok());
  EXPECT_TRUE(Recovers("a transaction of pid"));
}

TEST_F(PaceTest, I12_ASessionThatWaitsForDunlinIsHarm) {
  Make();
  // Each batch holds its rows for a third of a second.
  limits_ = "rows_per_second: 1500, batch_time: 500ms";
  Start("lock: true\n", 1,
        "UPDATE items SET n = n + 1 FROM (SELECT pg_sleep(0.3)) s WHERE :batch(items)");
  std::atomic<bool> enough = false;
  std::thread application([&] {
    auto session = server_->Connect("app");
    while (!enough) {
      // The next rows of each shard: those of the batch in work, most of the time.
      const auto updated = session->Query(
          "UPDATE items SET n = n WHERE id IN (SELECT next.id FROM dunlin.shard s, LATERAL (SELECT "
          "i.id FROM items i WHERE i.id > coalesce(s.cursor[1], s.lower[1], '0')::bigint ORDER BY "
          "i.id LIMIT 10) next WHERE NOT s.done)");
      EXPECT_TRUE(updated.ok()) << updated.status().message();
    }
  });
  EXPECT_TRUE(Says("for more than 100 ms for locks that Dunlin holds"));
  enough = true;
  application.join();
  EXPECT_TRUE(Recovers("for locks that Dunlin holds"));
}

TEST_F(PaceTest, ASessionThatHoldsARowMakesItWaitAndSaySo) {
  Make();
  Start("");
  auto session = server_->Connect("app");
  ASSERT_TRUE(session->Query("BEGIN").ok());
  ASSERT_TRUE(session->Query("SELECT 1 FROM items WHERE n = 0 FOR UPDATE").ok());
  ASSERT_TRUE(Says("backs off"));
  ASSERT_TRUE(session->Query("COMMIT").ok());
  EXPECT_TRUE(Recovers("backs off"));
}

TEST_F(PaceTest, AReplicaThatDoesNotReplay) {
  Make();
  const auto replica = server_->MakeReplica();
  Start("on_pressure: {replica_lag: 2s}\n");
  replica->Exec("postgres", "SELECT pg_wal_replay_pause()");
  ASSERT_TRUE(Says("behind (limit 2 s)"));
  ASSERT_TRUE(Says("stopped until it passes"));
  replica->Exec("postgres", "SELECT pg_wal_replay_resume()");
  EXPECT_TRUE(Recovers("behind"));
}

TEST_F(PaceTest, ASlotThatNobodyReadsIsNamedUntilItIsDropped) {
  Make();
  Start("on_pressure: {slot_lag_bytes: 1MB}\n");
  server_->Exec("app", "SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')");
  ASSERT_TRUE(Says("slot forgotten keeps"));
  ASSERT_TRUE(Says("stopped until it passes"));
  server_->Exec("app", "SELECT pg_drop_replication_slot('forgotten')");
  EXPECT_TRUE(Recovers("slot forgotten"));
}

TEST_F(PaceTest, WalIsWrittenNoFasterThanTheFileAllows) {
  Make();
  limits_ = "wal_bytes_per_second: 1MB";
  Start("");
  const std::string clock = "SELECT extract(epoch FROM clock_timestamp())::bigint";
  const std::string written = "SELECT (pg_current_wal_lsn() - '0/0')::bigint";
  ASSERT_TRUE(Says("WAL is written at"));
  EXPECT_THAT(Reason(), HasSubstr("(limit 1 MB/s)"));
  const int64_t from = server_->Int("app", written), since = server_->Int("app", clock);
  ASSERT_TRUE(Eventually(kPatience, [&] { return server_->Int("app", clock) >= since + 12; }));
  const int64_t seconds = server_->Int("app", clock) - since;
  const int64_t bytes = server_->Int("app", written) - from;
  EXPECT_LT(bytes, 1'200'000 * (seconds + 1));
  EXPECT_GT(Status().value("rows_done", int64_t{0}), 0);
}

TEST_F(PaceTest, ASignalThatCannotBeReadAnyMoreHoldsTheRunBack) {
  Make();
  server_->Exec("app",
                "CREATE ROLE plain LOGIN; GRANT ALL ON items TO plain; GRANT CREATE ON DATABASE "
                "app TO plain; GRANT pg_monitor TO plain");
  role_ = "plain";
  Start("");
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return absl::StrContains(cluster_->Dunlin({"show", kVersion}).output,
                             "no replica is connected");
  }));
  server_->Exec("app", "REVOKE pg_monitor FROM plain");
  ASSERT_TRUE(Says("replica_lag cannot be measured any more: role plain may not see how far"));
  EXPECT_THAT(Reason(), HasSubstr("GRANT pg_monitor TO plain"));
  server_->Exec("app", "GRANT pg_monitor TO plain");
  EXPECT_TRUE(Recovers("cannot be measured"));
}

TEST_F(PaceTest, AnArchiveCommandThatFails) {
  Make({"archive_mode=on"});
  const auto archive_with = [&](const std::string& command) {
    server_->Exec("app", absl::StrCat("ALTER SYSTEM SET archive_command = '", command, "'"));
    server_->Exec("app", "SELECT pg_reload_conf()");
    server_->Exec("app", "SELECT pg_switch_wal()");
  };
  archive_with("true");
  Start("");
  archive_with("false");
  ASSERT_TRUE(Says("archiving WAL fails"));
  ASSERT_TRUE(Says("stopped until it passes"));
  archive_with("true");
  EXPECT_TRUE(Recovers("archiving WAL fails"));
}

TEST_F(PaceTest, ANeighbourThatTakesTheCores) {
  Make();
  Start("");
  ASSERT_TRUE(Eventually(kPatience, [&] {
    return absl::StrContains(cluster_->Dunlin({"show", kVersion}).output, "a one-row read takes");
  }));
  std::vector<std::thread> neighbours;
  std::atomic<size_t> gone = 0;
  for (unsigned i = 0; i < 8 * std::max(1U, std::thread::hardware_concurrency()); ++i) {
    neighbours.emplace_back([&] {
      // Ended from outside, else after minutes.
      server_->Connect("app")
          ->Query(
              "/* neighbour */ SELECT sum(sqrt(i)) FROM (SELECT generate_series(1, 200000000) i) n")
          .status()
          .IgnoreError();
      ++gone;
    });
  }
  EXPECT_TRUE(Says("a one-row read takes"));
  // Again and again: one may only now have come to its query.
  EXPECT_TRUE(Eventually(kPatience, [&] {
    server_->Exec("app",
                  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE "
                  "'/* neighbour%'");
    return gone == neighbours.size();
  }));
  for (std::thread& neighbour : neighbours) neighbour.join();
  EXPECT_TRUE(Recovers("a one-row read takes"));
}

TEST_F(PaceTest, APlainRoleIsToldWhichGrantHelpsAndIsNotHeldBack) {
  Make();
  server_->Exec("app",
                "CREATE ROLE plain LOGIN; GRANT ALL ON items TO plain; GRANT CREATE ON DATABASE "
                "app TO plain");
  const std::string path = absl::StrCat(folder_, "/", kVersion, "_count.yaml");
  std::ofstream(path)
      << "description: Count\ntable: items\nbatch: UPDATE items SET n = n + 1 WHERE "
         ":batch\nlimits: {rows_per_second: 1500}\n";
  role_ = "plain";
  const std::string dsn = Dsn();
  Process local({Binary("dunlin"), "local", path, "--database", dsn});
  std::string shown;
  EXPECT_TRUE(
      Eventually(kPatience,
                 [&] {
                   shown = RunToEnd({Binary("dunlin"), "show", kVersion, "--database", dsn}).output;
                   return absl::StrContains(shown, "GRANT pg_monitor TO plain");
                 }))
      << shown << local.Output();
  EXPECT_THAT(shown, HasSubstr("not measured"));
  EXPECT_THAT(shown, HasSubstr("a one-row read takes"));
  local.Signal(SIGTERM);
  local.Wait(absl::Seconds(20));
}

}  // namespace
}  // namespace dunlin::testing
