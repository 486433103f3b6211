#include "tests/chaos/chaos_world.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include <glog/logging.h>

#include "common/pg/connection.h"

namespace dunlin::testing {
namespace {

constexpr int kRowsOfATable = 40'000;
constexpr int kRowsOfLocal = 20'000;
// Holds the audit of a round twice over.
constexpr int kDiskMebibytes = 96;

// The oracle: a row of `audit` for every change of an n, in the transaction of the change. The
// statement trigger keeps the transaction open for a while after its rows were changed.
constexpr const char* kAudit = R"sql(
CREATE TABLE audit (of_table text, key text) TABLESPACE $disk$;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit VALUES (TG_TABLE_NAME, NEW.key_text); RETURN NULL; END $$;
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_sleep(0.03 + random() * 0.12); RETURN NULL; END $$;)sql";
constexpr const char* kByUuid = R"sql(
CREATE TABLE by_uuid (id uuid PRIMARY KEY, key_text text GENERATED ALWAYS AS (id::text) STORED,
                      n int NOT NULL DEFAULT 0, touched int NOT NULL DEFAULT 0);
INSERT INTO by_uuid (id) SELECT md5(g::text)::uuid FROM generate_series(1, $rows$) g)sql";
constexpr const char* kByText = R"sql(
CREATE TABLE by_text (a text COLLATE "en-x-icu", b text,
                      key_text text GENERATED ALWAYS AS (a || '/' || b) STORED,
                      n int NOT NULL DEFAULT 0, touched int NOT NULL DEFAULT 0, PRIMARY KEY (a, b));
INSERT INTO by_text (a, b) SELECT
  CASE g % 4 WHEN 0 THEN 'It''s' WHEN 1 THEN 'back\slash' WHEN 2 THEN 'ÜbER,{x}' ELSE '"q"' END || g % 97,
  CASE g % 3 WHEN 0 THEN 'z' WHEN 1 THEN 'Z' ELSE ' NULL ' END || g FROM generate_series(1, $rows$) g;
-- Names the application's rows by a number.
CREATE TABLE numbered AS SELECT row_number() OVER (ORDER BY a, b) AS g, a, b FROM by_text;
CREATE UNIQUE INDEX ON numbered (g))sql";
constexpr const char* kTriggers = R"sql(
CREATE TRIGGER note AFTER UPDATE ON $table$ FOR EACH ROW WHEN (OLD.n <> NEW.n) EXECUTE FUNCTION note();
CREATE TRIGGER linger AFTER UPDATE OF n ON $table$ FOR EACH STATEMENT EXECUTE FUNCTION linger();
ANALYZE $table$)sql";

std::string With(std::string sql, const std::string& placeholder, const std::string& value) {
  for (size_t at = sql.find(placeholder); at != sql.npos; at = sql.find(placeholder, at))
    sql.replace(at, placeholder.size(), value);
  return sql;
}

const char* DatabaseOf(const std::string& table) { return table == "by_local" ? "solo" : "app"; }
int RowsOf(const std::string& table) { return table == "by_local" ? kRowsOfLocal : kRowsOfATable; }

}  // namespace

Application::Application(PgServer& server, int rows, uint64_t seed)
    : server_(server),
      thread_([this, rows, seed](std::stop_token stop) { Run(stop, rows, seed); }) {}

Application::Tally Application::tally() const {
  MutexLock lock(mutex_);
  return tally_;
}

void Application::Run(std::stop_token stop, int rows, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::unique_ptr<pg::Connection> connection;
  while (!stop.stop_requested()) {
    SystemClock().SleepFor(absl::Milliseconds(random() % 20), stop);
    if (connection == nullptr || connection->broken()) {
      auto made = pg::Connection::Connect(Secret(server_.Dsn("app")), {}, stop);
      if (!made.ok()) continue;  // the server is being started again
      connection = *std::move(made);
    }
    std::string sql = "BEGIN;";
    for (int i = 0; i < kRowsTouched; ++i) {
      const uint64_t row = 1 + random() % static_cast<uint64_t>(rows);
      if (i % 2 == 0) {
        absl::StrAppend(&sql, "UPDATE by_uuid SET touched = touched + 1 WHERE id = md5('", row,
                        "')::uuid;");
      } else {
        absl::StrAppend(
            &sql, "UPDATE by_text t SET touched = touched + 1 FROM numbered x WHERE x.g = ", row,
            " AND (t.a, t.b) = (x.a, x.b);");
      }
    }
    const absl::Status status =
        connection->ExecuteScript(absl::StrCat(sql, "COMMIT"), {.stop = stop});
    MutexLock lock(mutex_);
    if (status.ok()) ++tally_.committed;
    if (pg::SqlStateOf(status) == "40P01") ++tally_.deadlocks;
    if (!status.ok() && connection->broken()) ++tally_.in_doubt;
  }
}

ChaosWorld::ChaosWorld(uint64_t seed) : folder_(absl::StrCat("/tmp/dunlin_chaos_", getpid())) {
  disk = SmallDisk::Make(kDiskMebibytes);
  network = NetworkNamespace::Make();
  std::filesystem::create_directories(folder_);
  MakeTables();
  const int coordinator_port = FreePort();
  to_store = std::make_unique<TcpProxy>("127.0.0.1", store.port());
  for (size_t i = 0; i < kAgents; ++i) {
    const std::string host = i == 0 && network != nullptr ? network->host() : "127.0.0.1";
    to_target[i] = std::make_unique<TcpProxy>(host, target.port());
    to_coordinator[i] = std::make_unique<TcpProxy>(host, coordinator_port);
  }
  bouncer = PgBouncer::Make(to_target[2]->port());
  MiniClusterOptions options{.coordinators = 1,
                             .agents = kAgents,
                             .lease_ttl = "3s",
                             .agent_flags = {"--insecure", "--any-migration"},
                             .store_server = &store,
                             .coordinator_ports = {coordinator_port}};
  options.coordinator_surroundings = [this](size_t) {
    return Surroundings{.prefix = OtherClock(-kHour),
                        .server = absl::StrCat("127.0.0.1:", to_store->port())};
  };
  options.agent_surroundings = [this](size_t i) {
    const bool apart = i == 0 && network != nullptr;
    Surroundings around{.prefix = apart ? network->Prefix() : std::vector<std::string>()};
    for (std::string& word : OtherClock(kAgentOff[i])) around.prefix.push_back(std::move(word));
    const std::string host = apart ? network->host() : "127.0.0.1";
    around.coordinators = absl::StrCat(host, ":", to_coordinator[i]->port());
    around.pooled = i == 2 && bouncer != nullptr;
    around.server = absl::StrCat(host, ":", around.pooled ? bouncer->port() : to_target[i]->port());
    return around;
  };
  cluster = std::make_unique<MiniCluster>(target, std::move(options));
  CheckClocks();
  application_ = std::make_unique<Application>(target, kRowsOfATable, seed);
}

ChaosWorld::~ChaosWorld() {
  application_.reset();
  local.reset();
  cluster.reset();
  std::error_code absent;  // a leftover in /tmp fails no test
  std::filesystem::remove_all(folder_, absent);
}

// Else all clocks may be the same and nobody would know.
void ChaosWorld::CheckClocks() {
  const auto hours_off = [](PgServer& server, const char* database) {
    const int64_t now =
        server.Int(database, "SELECT extract(epoch FROM clock_timestamp())::bigint");
    return std::lround(static_cast<double>(now - time(nullptr)) / kHour);
  };
  CHECK_EQ(hours_off(target, "app"), -1);
  CHECK_EQ(hours_off(store, "store"), 1);
  const auto preloaded = [](Process& process) {
    return Eventually(absl::Seconds(30), [&] {
      std::ifstream maps(absl::StrCat("/proc/", process.pid(), "/maps"));
      return absl::StrContains(std::string(std::istreambuf_iterator<char>(maps), {}),
                               "dunlin_other_clock");
    });
  };
  CHECK(preloaded(cluster->coordinator(0)));
  for (size_t i = 0; i < kAgents; ++i) CHECK(preloaded(cluster->agent(i)));
}

void ChaosWorld::MakeTables() {
  target.CreateDatabase("app");
  target.CreateDatabase("solo");
  if (disk != nullptr)
    target.Exec("postgres",
                absl::StrCat("CREATE TABLESPACE small LOCATION '", disk->folder(), "/data'"));
  const auto rows = [](std::string sql, const std::string& table) {
    return With(std::move(sql), "$rows$", absl::StrCat(RowsOf(table)));
  };
  for (const char* database : {"app", "solo"})
    target.Exec(database, With(kAudit, "$disk$", disk != nullptr ? "small" : "pg_default"));
  target.Exec("app", rows(kByUuid, "by_uuid"));
  target.Exec("app", rows(kByText, "by_text"));
  target.Exec("solo", With(rows(kByUuid, "by_local"), "by_uuid", "by_local"));
  for (const std::string table : {"by_uuid", "by_text", "by_local"})
    target.Exec(DatabaseOf(table), With(kTriggers, "$table$", table));
}

std::string ChaosWorld::WriteMigration(const std::string& name, const std::string& table,
                                       int round) {
  const std::string file = absl::StrCat(folder_, "/", name, ".yaml");
  std::ofstream(file) << "description: Count every row once more\ntarget: " << DatabaseOf(table)
                      << "\ndepends_on: []\ntable: " << table << "\nbatch: UPDATE " << table
                      << " SET n = n + 1 WHERE :batch\nverify: SELECT count(*) FROM " << table
                      << " WHERE n <> " << round
                      << " AND :batch\ndurability: " << (round % 2 == 0 ? "relaxed" : "strict")
                      << "\nlimits: {batch_time: 120ms}\n";
  return file;
}

void ChaosWorld::StartRound(const std::function<void()>& between_tries) {
  ++rounds_;
  runs_.clear();
  for (const char* table : {"by_uuid", "by_text"}) {
    runs_.push_back(absl::StrCat(20261123120000 + 10 * rounds_ + static_cast<int>(runs_.size()),
                                 "_count_", table));
    const std::string file = WriteMigration(runs_.back(), table, rounds_);
    // The coordinator may be stopped, or its store away: as long as that may last.
    RunResult started{};
    CHECK(Eventually(absl::Minutes(1), [&] {
      started = cluster->Dunlin({"start", file});
      if (started.exit_code != 0) between_tries();
      return started.exit_code == 0;
    })) << started.output;
  }
}

void ChaosWorld::StartLocal() {
  local = std::make_unique<Process>(std::vector<std::string>{Binary("dunlin"), "local", local_file_,
                                                             "--database", target.Dsn("solo")});
}

std::string ChaosWorld::LookAfterLocal(bool next) {
  if (local != nullptr && local->Running()) return "";
  if (local != nullptr) {
    const int code = local->Wait(absl::ZeroDuration());
    if (code == 1) return absl::StrCat("dunlin local needs a person: ", local->Output());
    if (code != 0) {  // killed, or its database went away under it: the same command again
      StartLocal();
      return "";
    }
    std::string wrong = CheckTable("by_local", local_rounds_);
    if (!wrong.empty()) return wrong;
    // A full disk has no room for a new file: another time.
    if (!target.Connect("solo")->ExecuteScript("TRUNCATE audit").ok()) return "";
    local.reset();
  }
  if (!next) return "";
  ++local_rounds_;
  local_file_ = WriteMigration(absl::StrCat(20271123120000 + local_rounds_, "_count_by_local"),
                               "by_local", local_rounds_);
  StartLocal();
  return "";
}

bool ChaosWorld::RoundFinished() {
  return store.Int("store", absl::StrCat("SELECT count(*) FROM dunlin_store.run WHERE state = "
                                         "'FINISHED' AND migration IN ('",
                                         absl::StrJoin(runs_, "','"), "')")) == std::ssize(runs_);
}

std::string ChaosWorld::NeedsPerson() {
  return store.Text("store",
                    "SELECT string_agg(migration || ' ' || state || ': ' || reason || ' ' || "
                    "error, '; ') FROM dunlin_store.run WHERE state IN ('PAUSED', 'FAILED')");
}

std::string ChaosWorld::Describe() {
  return absl::StrCat(cluster->Dunlin({"status"}).output,
                      "\nlocal: ", local == nullptr ? std::string("done") : local->Output());
}

std::string ChaosWorld::CheckTable(const std::string& table, int round) {
  const char* database = DatabaseOf(table);
  const int64_t other_n =
      target.Int(database, absl::StrCat("SELECT count(*) FROM ", table, " WHERE n <> ", round));
  const int64_t not_once = target.Int(
      database, absl::StrCat("SELECT count(*) FROM (SELECT t.key_text FROM ", table,
                             " t LEFT JOIN audit a ON a.of_table = '", table,
                             "' AND a.key = t.key_text GROUP BY 1 HAVING count(a.key) <> 1) x"));
  const int64_t changes = target.Int(
      database, absl::StrCat("SELECT count(*) FROM audit WHERE of_table = '", table, "'"));
  if (other_n == 0 && not_once == 0 && changes == RowsOf(table)) return "";
  return absl::StrCat(table, " in round ", round, ": ", other_n, " rows have another n, ", not_once,
                      " were not changed once, ", changes, " changes of ", RowsOf(table), "\n");
}

std::string ChaosWorld::CheckRound() {
  const std::string wrong =
      absl::StrCat(CheckTable("by_uuid", rounds_), CheckTable("by_text", rounds_));
  // A change that comes after this, by somebody who should be fenced off, is one too many in the
  // next round.
  target.Exec("app", "TRUNCATE audit");
  return wrong;
}

std::string ChaosWorld::CheckApplication() {
  const Application::Tally tally = application_->tally();
  application_.reset();
  const int64_t touched = target.Int("app",
                                     "SELECT (SELECT sum(touched) FROM by_uuid) + "
                                     "(SELECT sum(touched) FROM by_text)");
  std::cout << "the application committed " << tally.committed << " transactions, "
            << tally.in_doubt << " ended with their connection, " << tally.deadlocks
            << " were deadlock victims" << std::endl;
  // One more may have been in work between the tally and the end.
  const int64_t least = tally.committed * Application::kRowsTouched;
  const int64_t most = least + (tally.in_doubt + 1) * Application::kRowsTouched;
  std::string wrong;
  if (touched < least || touched > most)
    wrong = absl::StrCat("the application's changes: ", touched, ", not ", least, " to ", most);
  if (tally.deadlocks > 0) absl::StrAppend(&wrong, " it was a deadlock victim (I12)");
  return wrong;
}

std::vector<OpenTransaction> ChaosWorld::OpenTransactions(std::optional<size_t> agent) {
  const std::string found = target.Text("postgres", R"sql(
    SELECT string_agg(concat_ws(' ', backend_xid, client_port, pid, wait_event IS NOT DISTINCT FROM 'SyncRep'), ',')
    FROM pg_stat_activity WHERE application_name LIKE 'dunlin/2%' AND backend_xid IS NOT NULL)sql");
  const std::set<int> ports = agent ? to_target[*agent]->PortsAtServer() : std::set<int>();
  std::vector<OpenTransaction> open;
  for (const absl::string_view one : absl::StrSplit(found, ',', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(one, ' ');
    const OpenTransaction transaction{.xid = fields[0],
                                      .client_port = std::stoi(fields[1]),
                                      .backend = std::stoi(fields[2]),
                                      .committing = fields[3] == "t"};
    if (!agent || ports.count(transaction.client_port) > 0) open.push_back(transaction);
  }
  return open;
}

std::string ChaosWorld::StatusOf(const std::string& xid) {
  return target.Text("postgres", absl::StrCat("SELECT pg_xact_status('", xid, "'::xid8)"));
}

}  // namespace dunlin::testing
