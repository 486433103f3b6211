// Real processes on a real server, killed, stopped and cut off while an audit trigger counts what
// happens to each row. The faults are drawn from a seed that is printed; with the same DUNLIN_SEED
// the same faults come in the same order. DUNLIN_CHAOS_SECONDS and DUNLIN_CHAOS_FAULTS make it
// longer: both must be reached before it ends.
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include <gmock/gmock.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/testlib/mini_cluster.h"
#include "tests/testlib/seed.h"

namespace dunlin::testing {
namespace {

constexpr int kRowsOfATable = 40'000;
constexpr absl::Duration kLeaseTtl = absl::Seconds(3);

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  int value = otherwise;
  if (text != nullptr) CHECK(absl::SimpleAtoi(text, &value)) << name;
  return value;
}

enum class Fault {
  kKillAgent,
  kStopAgent,
  kTerminateBackend,
  kStopServer,
  kKillCoordinator,
  kCount
};
const char* NameOf(Fault fault) {
  switch (fault) {
    case Fault::kKillAgent:
      return "SIGKILL of an agent";
    case Fault::kStopAgent:
      return "SIGSTOP of an agent beyond its lease";
    case Fault::kTerminateBackend:
      return "a backend terminated";
    case Fault::kStopServer:
      return "immediate stop of the server";
    case Fault::kKillCoordinator:
      return "SIGKILL of the coordinator";
    case Fault::kCount:
      break;
  }
  return "?";
}

// A transaction on a shard that has written something.
struct OpenTransaction {
  std::string xid;
  int client_port = 0;
  int backend = 0;
};

// The local ports of a process's connections.
std::set<int> PortsOf(pid_t pid) {
  std::set<std::string> inodes;
  std::error_code gone;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/fd"), gone)) {
    const std::string link = std::filesystem::read_symlink(entry.path(), gone).string();
    if (absl::StartsWith(link, "socket:[")) inodes.insert(link.substr(8, link.size() - 9));
  }
  std::set<int> ports;
  std::ifstream table("/proc/net/tcp");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() < 10 || inodes.count(fields[9]) == 0) continue;
    ports.insert(
        static_cast<int>(std::stoul(fields[1].substr(fields[1].find(':') + 1), nullptr, 16)));
  }
  return ports;
}

class Chaos : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.CreateDatabase("app");
    // The oracle: a row of `audit` for every change of an n, in the transaction of the change. The
    // statement trigger keeps the transaction open for a while after its rows were changed.
    server_.Exec("app", R"sql(
      CREATE TABLE audit (of_table text, key text);
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO audit VALUES (TG_TABLE_NAME, NEW.key_text); RETURN NULL; END $$;
      CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_sleep(0.02 + random() * 0.06); RETURN NULL; END $$;)sql");
    server_.Exec("app", absl::StrCat(R"sql(
      CREATE TABLE by_uuid (id uuid PRIMARY KEY, key_text text GENERATED ALWAYS AS (id::text) STORED,
                            n int NOT NULL DEFAULT 0, touched int NOT NULL DEFAULT 0);
      INSERT INTO by_uuid (id) SELECT md5(g::text)::uuid FROM generate_series(1, )sql",
                                     kRowsOfATable, R"sql() g;
      CREATE TABLE by_text (a text COLLATE "en-x-icu", b text, key_text text GENERATED ALWAYS AS (a || '/' || b) STORED,
                            n int NOT NULL DEFAULT 0, touched int NOT NULL DEFAULT 0, PRIMARY KEY (a, b));
      INSERT INTO by_text (a, b) SELECT
        CASE g % 4 WHEN 0 THEN 'It''s' WHEN 1 THEN 'back\slash' WHEN 2 THEN 'ÜbER,{x}' ELSE '"q"' END || g % 97,
        CASE g % 3 WHEN 0 THEN 'z' WHEN 1 THEN 'Z' ELSE ' NULL ' END || g FROM generate_series(1, )sql",
                                     kRowsOfATable, ") g"));
    for (const char* table : {"by_uuid", "by_text"}) {
      server_.Exec(
          "app",
          absl::StrCat("CREATE TRIGGER note AFTER UPDATE ON ", table,
                       " FOR EACH ROW WHEN (OLD.n <> NEW.n) EXECUTE FUNCTION note(); "
                       "CREATE TRIGGER linger AFTER UPDATE OF n ON ",
                       table, " FOR EACH STATEMENT EXECUTE FUNCTION linger(); ANALYZE ", table));
    }
    cluster_ = std::make_unique<MiniCluster>(
        server_, MiniClusterOptions{.coordinators = 1, .agents = 3, .lease_ttl = "3s"});
  }

  // A migration for each table, not idempotent; the version tells the round.
  void StartRound() {
    ++rounds_;
    const std::string folder = absl::StrCat(::testing::TempDir(), "dunlin_chaos_", getpid());
    std::filesystem::create_directories(folder);
    runs_.clear();
    for (const char* table : {"by_uuid", "by_text"}) {
      runs_.push_back(absl::StrCat(20261123120000 + 10 * rounds_ + static_cast<int>(runs_.size()),
                                   "_count_", table));
      const std::string file = absl::StrCat(folder, "/", runs_.back(), ".yaml");
      std::ofstream(file)
          << "description: Count every row once more\ntarget: app\ndepends_on: []\ntable: " << table
          << "\nbatch: UPDATE " << table << " SET n = n + 1 WHERE :batch\nverify: "
          << "SELECT count(*) FROM " << table << " WHERE n <> " << rounds_
          << " AND :batch\ndurability: " << (rounds_ % 2 == 0 ? "relaxed" : "strict") << "\n";
      const RunResult started = cluster_->Dunlin({"start", file});
      ASSERT_EQ(started.exit_code, 0) << started.output;
    }
    std::filesystem::remove_all(folder);
  }
  bool Finished() {
    for (const std::string& run : runs_) {
      const std::string state = cluster_->State(run);
      if (state == "PAUSED" || state == "FAILED") {
        ADD_FAILURE() << cluster_->Dunlin({"show", run}).output;
        failed_ = true;
      }
      if (state != "FINISHED") return false;
    }
    return true;
  }

  std::vector<OpenTransaction> OpenTransactions() {
    const std::string found = server_.Text("app", R"sql(
      SELECT string_agg(backend_xid || ' ' || client_port || ' ' || pid, ',') FROM pg_stat_activity
      WHERE application_name LIKE 'dunlin/2%' AND backend_xid IS NOT NULL)sql");
    std::vector<OpenTransaction> open;
    for (const absl::string_view one : absl::StrSplit(found, ',', absl::SkipEmpty())) {
      const std::vector<std::string> fields = absl::StrSplit(one, ' ');
      open.push_back({fields[0], std::stoi(fields[1]), std::stoi(fields[2])});
    }
    return open;
  }
  // Waits a while for a transaction that is open on a shard, of this process (0: of any).
  std::vector<OpenTransaction> AwaitOpen(pid_t pid) {
    std::vector<OpenTransaction> found;
    Eventually(absl::Seconds(3), [&] {
      const std::set<int> ports = pid == 0 ? std::set<int>() : PortsOf(pid);
      found.clear();
      for (const OpenTransaction& one : OpenTransactions())
        if (pid == 0 || ports.count(one.client_port) > 0) found.push_back(one);
      return !found.empty();
    });
    return found;
  }

  void Inject(Fault fault) {
    const size_t victim = random_() % cluster_->agents();
    const bool stopped = stopped_until_.count(victim) > 0;
    std::vector<OpenTransaction> open;
    switch (fault) {
      case Fault::kKillAgent:
        open = AwaitOpen(stopped ? 0 : cluster_->agent(victim).pid());
        stopped_until_.erase(victim);
        if (stopped) open.clear();  // it was hit before
        cluster_->ReplaceAgent(victim);
        break;
      case Fault::kStopAgent:
        if (stopped) return;
        open = AwaitOpen(cluster_->agent(victim).pid());
        cluster_->agent(victim).Signal(SIGSTOP);
        stopped_until_[victim] =
            clock_.Monotonic() + kLeaseTtl + absl::Milliseconds(random_() % 2500);
        break;
      case Fault::kTerminateBackend:
        open = AwaitOpen(0);
        if (!open.empty()) {
          open.resize(1);
          server_.Exec("app", absl::StrCat("SELECT pg_terminate_backend(", open[0].backend, ")"));
        }
        break;
      case Fault::kStopServer:
        open = AwaitOpen(0);
        server_.CrashAndRestart();
        break;
      case Fault::kKillCoordinator:
        AwaitOpen(0);
        cluster_->ReplaceCoordinator(0);
        break;
      case Fault::kCount:
        break;
    }
    ++injected_[fault];
    for (const OpenTransaction& one : open) hit_.emplace(one.xid, fault);
  }
  void WakeTheStopped(bool all) {
    for (auto it = stopped_until_.begin(); it != stopped_until_.end();) {
      if (!all && clock_.Monotonic() < it->second) {
        ++it;
        continue;
      }
      cluster_->agent(it->first).Signal(SIGCONT);
      it = stopped_until_.erase(it);
    }
  }
  // How many of the transactions that were open when a fault came were ended by it: those that
  // aborted (one whose COMMIT was under way may have committed).
  std::map<Fault, int> CountHits() {
    std::map<Fault, int> hits;
    for (const auto& [xid, fault] : hit_) {
      if (server_.Text("app", absl::StrCat("SELECT pg_xact_status('", xid, "'::xid8)")) ==
          "aborted")
        ++hits[fault];
    }
    return hits;
  }

  int Hits() {
    int hits = 0;
    for (const auto& [fault, count] : CountHits()) hits += count;
    return hits;
  }

  Fault DrawFault() {
    // The server's stop ends everything else in flight: rarely.
    std::discrete_distribution<int> kinds({6, 4, 6, 1, 2});
    return static_cast<Fault>(kinds(random_));
  }

  Clock& clock_ = SystemClock();
  PgServer server_;
  std::unique_ptr<MiniCluster> cluster_;
  std::mt19937_64 random_{Seed()};
  std::vector<std::string> runs_;
  int rounds_ = 0;
  bool failed_ = false;
  std::map<size_t, absl::Duration> stopped_until_;
  std::map<Fault, int> injected_;
  std::map<std::string, Fault> hit_;
};

TEST_F(Chaos, I1_I3_I4_EveryRowChangesOnceWhateverDies) {
  const absl::Duration until =
      clock_.Monotonic() + absl::Seconds(FromEnvironment("DUNLIN_CHAOS_SECONDS", 60));
  const int faults = FromEnvironment("DUNLIN_CHAOS_FAULTS", 30);
  // On a busy machine fewer faults end a transaction: then it takes more of them.
  const auto enough = [&] { return clock_.Monotonic() >= until && Hits() >= faults; };
  StartRound();
  while (!failed_ && !HasFatalFailure() && !enough()) {
    if (Finished()) StartRound();
    Inject(DrawFault());
    clock_.SleepFor(absl::Milliseconds(random_() % 1200), {});  // faults also come in bursts
    WakeTheStopped(false);
  }
  WakeTheStopped(true);
  ASSERT_TRUE(Eventually(absl::Minutes(3), [&] { return failed_ || Finished(); }))
      << cluster_->Dunlin({"status"}).output;

  std::cout << rounds_ << " rounds of two runs";
  for (const auto& [fault, count] : injected_) std::cout << "; " << NameOf(fault) << ": " << count;
  for (const auto& [fault, count] : CountHits()) {
    std::cout << "\n  " << count << " transactions open on a shard ended by: " << NameOf(fault);
  }
  std::cout << std::endl;
  EXPECT_GE(Hits(), faults) << "too few faults hit a transaction that was open on a shard";
  for (const char* table : {"by_uuid", "by_text"}) {
    EXPECT_EQ(
        server_.Int("app", absl::StrCat("SELECT count(*) FROM ", table, " WHERE n <> ", rounds_)),
        0);
    EXPECT_EQ(server_.Int("app", absl::StrCat("SELECT count(*) FROM (SELECT t.key_text FROM ",
                                              table, " t LEFT JOIN audit a ON a.of_table = '",
                                              table, "' AND a.key = t.key_text GROUP BY 1 HAVING ",
                                              "count(a.key) <> ", rounds_, ") wrong")),
              0);
  }
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM audit"),
            static_cast<int64_t>(2) * kRowsOfATable * rounds_);
}

}  // namespace
}  // namespace dunlin::testing
