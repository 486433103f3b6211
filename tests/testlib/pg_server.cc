#include "tests/testlib/pg_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/log.h"
#include "tests/testlib/privileged.h"

namespace dunlin::testing {
namespace {

constexpr const char* kBin = "/usr/lib/postgresql/15/bin/";

// PostgreSQL refuses to run as root.
std::vector<std::string> AsPostgres(std::vector<std::string> argv) {
  if (getuid() != 0) return argv;
  std::vector<std::string> wrapped = {"setpriv", "--reuid=postgres", "--regid=postgres",
                                      "--clear-groups", "--pdeathsig=QUIT"};
  wrapped.insert(wrapped.end(), argv.begin(), argv.end());
  return wrapped;
}

void RunOrDie(const std::vector<std::string>& argv) {
  const RunResult result = RunToEnd(argv);
  CHECK_EQ(result.exit_code, 0) << result.output;
}

void InitDb(const std::string& data) {
  RunOrDie(AsPostgres({absl::StrCat(kBin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres",
                       "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"}));
}

// Memory where there is enough of it (containers often have 64 MiB): the tests copy, crash and
// remove a server each, and fsync is off anyhow.
std::string ScratchFolder() {
  constexpr std::uintmax_t kEnough = std::uintmax_t{4} << 30;
  std::error_code absent;
  const std::filesystem::space_info memory = std::filesystem::space("/dev/shm", absent);
  return !absent && memory.available >= kEnough ? "/dev/shm" : "/tmp";
}

// initdb takes a second, a copy of what it made a tenth. Kept beside the build's binaries, made by
// whoever comes first; all such servers have one system identifier.
void MakeData(const std::string& data) {
  const char* bin = std::getenv("DUNLIN_BIN_DIR");
  if (bin == nullptr) return InitDb(data);
  const std::string kept = absl::StrCat(bin, "/../pg_template");
  const std::string lock_path = absl::StrCat(kept, ".lock");
  const int lock = open(lock_path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  CHECK(lock >= 0 && flock(lock, LOCK_EX) == 0) << lock_path;
  if (!std::filesystem::exists(kept)) {
    InitDb(data);
    const std::string half_made = absl::StrCat(kept, ".new");
    RunOrDie({"rm", "-rf", half_made});
    RunOrDie({"cp", "-a", data, half_made});
    std::filesystem::rename(half_made, kept);
  } else {
    RunOrDie({"cp", "-a", kept, data});
  }
  close(lock);
}

}  // namespace

PgServer::PgServer(std::vector<std::string> settings, int clock_off)
    : PgServer(Copied(), std::move(settings), clock_off) {
  MakeData(folder_ + "/data");
  Start();
}

PgServer::PgServer(Copied, std::vector<std::string> settings, int clock_off)
    : settings_(std::move(settings)), clock_off_(clock_off), port_(FreePort()) {
  std::string pattern = absl::StrCat(ScratchFolder(), "/dunlin_pg_XXXXXX");
  CHECK(mkdtemp(pattern.data()) != nullptr);
  folder_ = pattern;
  if (getuid() == 0) {
    RunOrDie({"chown", "postgres", folder_});
  }
}

std::unique_ptr<PgServer> PgServer::MakeReplica() {
  auto replica = std::unique_ptr<PgServer>(new PgServer(Copied(), settings_, clock_off_));
  RunOrDie(AsPostgres({absl::StrCat(kBin, "pg_basebackup"), "-d", Dsn("postgres"), "-D",
                       replica->folder_ + "/data", "-R", "-c", "fast", "--no-sync"}));
  replica->read_write_ = false;
  replica->Start();
  const std::string at = Text("postgres", "SELECT pg_current_wal_lsn()");
  CHECK(Eventually(absl::Seconds(30), [&] {
    return replica->Int("postgres", absl::StrCat("SELECT (pg_last_wal_replay_lsn() >= '", at,
                                                 "'::pg_lsn)::int")) == 1;
  }));
  return replica;
}

void PgServer::FallBehind() {
  // Pausing the replay would lose nothing: what was received is replayed before a promotion.
  Exec("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
  Exec("postgres", "SELECT pg_reload_conf()");
  CHECK(Eventually(absl::Seconds(10), [&] {
    return Int("postgres", "SELECT count(*) FROM pg_stat_wal_receiver") == 0;
  }));
}

void PgServer::Promote() {
  Exec("postgres", "SELECT pg_promote(true, 60)");
  read_write_ = true;
}

void PgServer::Kill() {
  postmaster_->Signal(SIGQUIT);
  CHECK_NE(postmaster_->Wait(absl::Seconds(20)), -1);
}

PgServer::~PgServer() {
  postmaster_->Signal(SIGQUIT);
  postmaster_->Wait(absl::Seconds(10));
  postmaster_.reset();
  std::error_code ignored;  // a leftover in /tmp fails no test
  std::filesystem::remove_all(folder_, ignored);
}

std::vector<std::string> PgServer::Command() const {
  std::vector<std::string> argv = OtherClock(clock_off_);
  argv.insert(argv.end(), {absl::StrCat(kBin, "postgres"), "-D", folder_ + "/data", "-p",
                           absl::StrCat(port_), "-k", folder_});
  std::vector<std::string> settings = {"listen_addresses=127.0.0.1", "fsync=off",
                                       "max_connections=200", "log_min_messages=fatal"};
  settings.insert(settings.end(), settings_.begin(), settings_.end());
  for (const std::string& setting : settings) argv.insert(argv.end(), {"-c", setting});
  return AsPostgres(argv);
}

// It, and not another test's server that was given the same port.
bool PgServer::Answers() const {
  const auto connection =
      pg::Connection::Connect(Secret(Dsn("postgres")), {.read_write = read_write_});
  if (!connection.ok()) return false;
  const auto folder = (*connection)->Query("SHOW data_directory");
  return folder.ok() && folder->Text(0, 0) == folder_ + "/data";
}

void PgServer::Start() {
  constexpr int kTries = 5;
  for (int tries = 1; postmaster_ == nullptr || !postmaster_->Running(); ++tries) {
    CHECK_LE(tries, kTries) << postmaster_->Output();
    // A port that was free a moment ago may be taken by now.
    if (tries > 1 && !started_) port_ = FreePort();
    postmaster_ = std::make_unique<Process>(Command());
    const bool known =
        Eventually(absl::Seconds(30), [&] { return Answers() || !postmaster_->Running(); });
    CHECK(known) << postmaster_->Output();
  }
  started_ = true;
}

void PgServer::CrashAndRestart() {
  Kill();
  Start();
}

std::string PgServer::Dsn(const std::string& database, const std::string& at) const {
  return absl::StrCat("postgresql://postgres@", at.empty() ? absl::StrCat("127.0.0.1:", port_) : at,
                      "/", database);
}

std::string PgServer::DsnWith(const PgServer& other, const std::string& database) const {
  return absl::StrCat("postgresql://postgres@127.0.0.1:", port_, ",127.0.0.1:", other.port_, "/",
                      database);
}

std::unique_ptr<pg::Connection> PgServer::Connect(const std::string& database) {
  auto connection = pg::Connection::Connect(Secret(Dsn(database)), {.read_write = read_write_});
  CHECK(connection.ok()) << connection.status().message();
  return *std::move(connection);
}

std::unique_ptr<pg::Connection> PgServer::Take(const std::string& database) {
  std::unique_ptr<pg::Connection> kept;
  {
    MutexLock lock(mutex_);
    std::vector<std::unique_ptr<pg::Connection>>& of_it = kept_[database];
    if (!of_it.empty()) {
      kept = std::move(of_it.back());
      of_it.pop_back();
    }
  }
  // Its server may have been restarted, or have ended it, since.
  if (kept != nullptr && kept->Query("SELECT 1").ok()) return kept;
  return Connect(database);
}

void PgServer::Keep(const std::string& database, std::unique_ptr<pg::Connection> connection) {
  // What it read and changed is counted at once, as at a session's end. One that has been ended is
  // not kept.
  if (!connection->Query("SELECT pg_stat_force_next_flush()").ok()) return;
  MutexLock lock(mutex_);
  kept_[database].push_back(std::move(connection));
}

void PgServer::CreateDatabase(const std::string& name, const std::string& options) {
  if (!options.empty()) {
    MutexLock lock(mutex_);
    kept_.clear();  // a template may have no session
  }
  Exec("postgres", absl::StrCat("CREATE DATABASE ", name, " ", options));
}

void PgServer::DropDatabase(const std::string& name, const std::string& options) {
  {
    MutexLock lock(mutex_);
    kept_.erase(name);
  }
  Exec("postgres", absl::StrCat("DROP DATABASE ", name, " ", options));
}

void PgServer::Exec(const std::string& database, const std::string& sql) {
  auto connection = Take(database);
  const absl::Status status = connection->ExecuteScript(sql, {.timeout = absl::Minutes(1)});
  CHECK(status.ok()) << status.message() << " in " << sql;
  Keep(database, std::move(connection));
}

std::string PgServer::Text(const std::string& database, const std::string& sql) {
  auto connection = Take(database);
  const auto result = connection->Query(sql);
  CHECK(result.ok()) << result.status().message() << " in " << sql;
  Keep(database, std::move(connection));
  return result->rows.empty() ? std::string() : result->rows[0][0].value_or("");
}

int64_t PgServer::Int(const std::string& database, const std::string& sql) {
  int64_t number = -1;
  CHECK(absl::SimpleAtoi(Text(database, sql), &number));
  return number;
}

}  // namespace dunlin::testing
