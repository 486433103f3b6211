// A target behind PgBouncer in transaction mode: each transaction may be on another session of the
// server. Real processes; the oracle is n = n + 1.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "common/pg/connection.h"
#include "common/pg/error.h"
#include "common/pg/session.h"
#include "tests/testlib/mini_cluster.h"
#include "tests/testlib/privileged.h"

namespace dunlin::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kName = "20261123120000_count_up";

class PooledTest : public ::testing::Test {
 protected:
  PooledTest() : pooler_(PgBouncer::Make(server_.port())) {
    server_.CreateDatabase("app");
    server_.Exec("app",
                 "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT "
                 "INTO items SELECT g FROM generate_series(1, 60000) g; ANALYZE items; CREATE "
                 "TABLE counted (n bigint)");
    EXPECT_TRUE(Eventually(absl::Seconds(20), [&] { return Connect({.pooled = true}).ok(); }))
        << pooler_->Output();
  }
  // A run that takes some seconds; its store may be on another server.
  void Start(PgServer& store) {
    cluster_ = std::make_unique<MiniCluster>(
        store, MiniClusterOptions{
                   .coordinators = 1,
                   .agents = 2,
                   .target_flags = {"--target-pooled", absl::StrCat("app=", pooler_->Dsn("app"))}});
    cluster_->WaitForAgents();
    const std::string folder = absl::StrCat(::testing::TempDir(), "dunlin_pooled_", getpid());
    std::filesystem::create_directories(folder);
    const std::string file = absl::StrCat(folder, "/", kName, ".yaml");
    std::ofstream(file) << "description: Count every row once\nsteps:\n"
                        << "  - once: INSERT INTO counted SELECT count(*) FROM counted\n"
                        << "  - table: items\n    batch: UPDATE items SET n = n + 1 WHERE :batch\n"
                        << "limits: {rows_per_second: 10000, batch_time: 5ms}\n";
    const RunResult started = cluster_->Dunlin({"start", file});
    std::filesystem::remove_all(folder);
    ASSERT_EQ(started.exit_code, 0) << started.output;
  }
  int64_t RowsDone(PgServer& server) {
    if (server.Int("app", "SELECT (to_regclass('dunlin.shard') IS NOT NULL)::int") == 0) return 0;
    return server.Int("app", "SELECT coalesce(sum(rows_done), 0)::bigint FROM dunlin.shard");
  }
  ::testing::AssertionResult MovesOn() {
    const int64_t before = RowsDone(server_);
    if (Eventually(absl::Minutes(1), [&] { return RowsDone(server_) > before + 2000; }))
      return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << cluster_->Dunlin({"show", kName}).output;
  }
  // For the store and for the target, and each row changed once there.
  void ExpectFinished(PgServer& server) {
    ASSERT_TRUE(Eventually(absl::Minutes(2), [&] {
      return cluster_->State(kName) == "FINISHED" &&
             server.Int("app", "SELECT count(*) FROM dunlin.run WHERE outcome = 'finished'") == 1;
    })) << cluster_->Dunlin({"show", kName}).output;
    EXPECT_EQ(server.Int("app", "SELECT count(*) FROM items WHERE n <> 1"), 0);
    EXPECT_EQ(server.Int("app", "SELECT count(*) FROM items"), 60000);
    EXPECT_EQ(server.Int("app", "SELECT count(*) FROM counted"), 1);
    EXPECT_EQ(cluster_->Dunlin({"gate", kName}).exit_code, 0);
  }
  absl::StatusOr<std::unique_ptr<pg::Connection>> Connect(const pg::ConnectOptions& options) {
    return pg::Connection::Connect(Secret(pooler_->Dsn("app")), options);
  }

  PgServer server_;
  std::unique_ptr<PgBouncer> pooler_;
  std::unique_ptr<MiniCluster> cluster_;
};

TEST_F(PooledTest, EveryTransactionHasItsSettingsWhateverSessionItIsOn) {
  pg::ConnectOptions options = pg::MakeSessionOptions({.application_name = "dunlin/one"});
  options.pooled = true;
  auto one = *Connect(options);
  options =
      pg::MakeSessionOptions({.application_name = "dunlin/two", .lock_timeout = absl::Seconds(9)});
  options.pooled = true;
  auto two = *Connect(options);
  const std::string settings =
      "SELECT concat_ws(' ', current_setting('application_name'), current_setting('lock_timeout'), "
      "current_setting('TimeZone'))";
  const pg::Statement named{.name = "named", .sql = "SELECT pg_backend_pid()"};
  std::set<std::string> sessions;
  // One's open transaction takes the session that the other had.
  for (pg::Connection* holder : {one.get(), two.get(), one.get()}) {
    ASSERT_TRUE(holder->Query("BEGIN").ok());
    ASSERT_TRUE(holder->Execute(named).ok());
    pg::Connection* guest = holder == one.get() ? two.get() : one.get();
    sessions.insert(guest->Execute(named)->Text(0, 0));
    EXPECT_EQ(one->Query(settings)->Text(0, 0), "dunlin/one 100ms UTC");
    EXPECT_EQ(two->Query(settings)->Text(0, 0), "dunlin/two 9s UTC");
    ASSERT_TRUE(holder->Query("COMMIT").ok());
    sessions.insert(holder->Execute(named)->Text(0, 0));
    ASSERT_TRUE(two->Send({"", settings}, {}).ok());
    EXPECT_EQ((*two->Receive(absl::Seconds(10)))->Text(0, 0), "dunlin/two 9s UTC");
  }
  EXPECT_GT(sessions.size(), 1U) << "the pooler changes sessions";
  // Both kinds of transaction in one pipeline.
  const auto outcomes = one->RunPipeline({{.statement = {"", "BEGIN"}},
                                          {.statement = {"", settings}},
                                          {.statement = {"", "COMMIT"}, .sync_after = true},
                                          {.statement = {"", settings}}});
  EXPECT_EQ(outcomes[1].result.Text(0, 0), "dunlin/one 100ms UTC");
  EXPECT_EQ(outcomes[2].result.command_tag, "COMMIT");
  EXPECT_EQ(outcomes[3].result.Text(0, 0), "dunlin/one 100ms UTC");
  // Whoever comes behind Dunlin finds nothing of it.
  auto application = *Connect({.application_name = "app", .pooled = true});
  EXPECT_EQ(application->Query("SELECT current_setting('lock_timeout')")->Text(0, 0), "0");
}

TEST_F(PooledTest, AnApplicationFindsNothingOfARunInItsSessions) {
  ASSERT_NO_FATAL_FAILURE(Start(server_));
  ASSERT_NO_FATAL_FAILURE(ExpectFinished(server_));
  cluster_.reset();
  // Each holds one session of the pool.
  std::vector<std::unique_ptr<pg::Connection>> application;
  for (int i = 0; i < PgBouncer::kPoolSize; ++i) {
    application.push_back(*Connect({.application_name = "app", .pooled = true}));
    ASSERT_TRUE(application.back()->Query("BEGIN").ok());
    const auto found = application.back()->Query(
        "SELECT string_agg(name || ' ' || setting, '; ') FROM pg_settings WHERE source = 'session' "
        "AND name IN ('lock_timeout', 'search_path', 'statement_timeout', 'synchronous_commit', "
        "'idle_in_transaction_session_timeout')");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_TRUE(found->IsNull(0, 0)) << found->Text(0, 0);
  }
}

TEST_F(PooledTest, WithoutTheFlagItIsRefusedWithTheFlagsName) {
  const auto refused = Connect(pg::MakeSessionOptions({}));
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("--target-pooled NAME=DSN"));
}

TEST_F(PooledTest, I1_EveryRowOnceWhileThePoolerAndAgentsAndSessionsDie) {
  ASSERT_NO_FATAL_FAILURE(Start(server_));
  ASSERT_TRUE(MovesOn());
  pooler_->Restart();
  ASSERT_TRUE(MovesOn());
  cluster_->ReplaceAgent(0);
  ASSERT_TRUE(MovesOn());
  server_.Exec("app",
               "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
               "pg_backend_pid() AND datname = 'app'");
  ASSERT_TRUE(MovesOn());
  // Stopped beyond its lease, perhaps with a transaction open behind the pooler.
  cluster_->agent(1).Signal(SIGSTOP);
  ASSERT_NO_FATAL_FAILURE(ExpectFinished(server_));
  cluster_->agent(1).Signal(SIGCONT);
}

TEST_F(PooledTest, ATransactionOnAnotherServerThanBeforeDoesNothing) {
  const auto replica = server_.MakeReplica();
  auto tied = *Connect({.pooled = true});
  const std::string timeline =
      "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int";
  tied->Require(absl::StrCat("(", timeline, ") = 1"));
  ASSERT_TRUE(tied->Query("UPDATE items SET n = 7 WHERE id = 1").ok());
  // Replayed there before the primary dies.
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    return replica->Int("app", "SELECT n FROM items WHERE id = 1") == 7;
  }));
  server_.Kill();
  replica->Promote();
  pooler_->MoveTo(replica->port());
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    auto fresh = Connect({.pooled = true});
    if (!fresh.ok()) return false;
    const auto found = (*fresh)->Query(timeline);
    return found.ok() && found->Int(0, 0) == 2;
  }));
  const auto refused = tied->Query("UPDATE items SET n = 8 WHERE id = 1");
  EXPECT_TRUE(pg::IsConnectionLost(refused.status())) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("another server than before"));
  EXPECT_TRUE(tied->broken());
  EXPECT_EQ(replica->Int("app", "SELECT n FROM items WHERE id = 1"), 7);
}

TEST_F(PooledTest, I1_AFailoverBehindThePoolerLosesNoRowAndChangesNoneTwice) {
  const auto replica = server_.MakeReplica();
  PgServer store;
  ASSERT_NO_FATAL_FAILURE(Start(store));
  ASSERT_TRUE(MovesOn());
  replica->FallBehind();
  ASSERT_TRUE(MovesOn());
  server_.Kill();
  replica->Promote();
  pooler_->MoveTo(replica->port());
  ExpectFinished(*replica);
}

}  // namespace
}  // namespace dunlin::testing
