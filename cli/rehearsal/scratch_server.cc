#include "cli/rehearsal/scratch_server.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/context.h"

#include "common/clock.h"
#include "common/ids.h"
#include "common/pg/connection.h"
#include "common/pg/session.h"
#include "common/pg/types.h"
#include "common/status_macros.h"
#include "common/status_util.h"

namespace dunlin::cli {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kStartTimeout = absl::Seconds(30);
constexpr absl::Duration kStopTimeout = absl::Seconds(10);
constexpr const char* kOtherWay =
    "; name a server where you may create databases instead: --server DSN";

// Who PostgreSQL runs as: not root, which it refuses.
struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  bool change = false;
};

absl::StatusOr<Account> FindAccount() {
  if (geteuid() != 0) return Account{};
  const passwd* user = getpwnam("postgres");
  if (user == nullptr) {
    return absl::UnavailableError(absl::StrCat(
        "PostgreSQL does not run as root, and there is no user postgres to run a scratch server as",
        kOtherWay));
  }
  return Account{.uid = user->pw_uid, .gid = user->pw_gid, .change = true};
}

// Memory where there is enough (containers often have 64 MiB): nothing of it needs to last.
fs::path ScratchRoot() {
  constexpr std::uintmax_t kEnough = std::uintmax_t{1} << 30;
  std::error_code absent;
  const fs::space_info memory = fs::space("/dev/shm", absent);
  if (!absent && memory.available >= kEnough) return "/dev/shm";
  // Not TMPDIR: the path of a socket has at most 107 bytes.
  return "/tmp";
}

// Runs a program of PostgreSQL in a session of its own, so that Ctrl-C does not reach it, and ends
// it when this process dies.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments, const Account& account,
                            const std::string& log) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::ResourceExhaustedError("no process can be started");
  if (pid > 0) return pid;
  // Between fork and exec: system calls only.
  setsid();
  const int out = open(log.c_str(), O_CREAT | O_APPEND | O_WRONLY, 0600);
  if (out >= 0) {
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
  }
  if (account.change && (fchown(out, account.uid, account.gid) != 0 || setgroups(0, nullptr) != 0 ||
                         setgid(account.gid) != 0 || setuid(account.uid) != 0)) {
    _exit(126);
  }
  prctl(PR_SET_PDEATHSIG, SIGQUIT);  // behind setuid, which clears it
  if (getppid() != parent) _exit(126);
  execv(argv[0], argv.data());
  _exit(127);
}

// Its last lines, for the sentence that says why it did not start.
std::string TailOf(const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  constexpr size_t kShown = 500;
  return std::string(absl::StripAsciiWhitespace(
      text.size() > kShown ? absl::string_view(text).substr(text.size() - kShown) : text));
}

bool HasBoth(const fs::path& folder) {
  return access((folder / "initdb").c_str(), X_OK) == 0 &&
         access((folder / "postgres").c_str(), X_OK) == 0;
}

absl::StatusOr<std::unique_ptr<pg::Connection>> OpenOnServer(const Secret& dsn) {
  pg::SessionPins pins;
  pins.application_name = "dunlin/test";
  pins.statement_timeout = absl::Minutes(1);
  pins.lock_timeout = absl::Minutes(1);
  return pg::Connection::Connect(dsn, pg::MakeSessionOptions(pins));
}

}  // namespace

std::string FindPostgresBin() {
  const char* path = std::getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    if (!folder.empty() && HasBoth(fs::path(std::string(folder)))) return std::string(folder);
  }
  std::string newest;
  int newest_version = 0;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", absent)) {
    int version = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &version)) continue;
    if (version <= newest_version || !HasBoth(entry.path() / "bin")) continue;
    newest_version = version;
    newest = (entry.path() / "bin").string();
  }
  return newest;
}

absl::StatusOr<std::unique_ptr<ScratchServer>> ScratchServer::On(const Secret& dsn) {
  std::unique_ptr<ScratchServer> server(new ScratchServer());
  server->dsn_ = dsn;
  server->prefix_ = absl::StrCat("dunlin_test_", MakeUuid().substr(0, 8), "_");
  DUNLIN_ASSIGN_OR_RETURN(const auto connection, OpenOnServer(dsn));
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result may,
      connection->Query("SELECT rolsuper OR rolcreatedb, current_user FROM pg_catalog.pg_roles "
                        "WHERE rolname = current_user"));
  if (!may.Bool(0, 0)) {
    return absl::PermissionDeniedError(absl::StrCat(
        "role ", may.Text(0, 1), " may not create databases on ", pg::DescribeDsn(dsn),
        "; allow it with ALTER ROLE … CREATEDB on a server that is not production's, or leave "
        "--server out to use a PostgreSQL that is installed here"));
  }
  return server;
}

absl::StatusOr<std::unique_ptr<ScratchServer>> ScratchServer::Start() {
  const std::string bin = FindPostgresBin();
  if (bin.empty()) {
    return absl::UnavailableError(absl::StrCat(
        "a test needs a scratch database, and no PostgreSQL server is installed here (initdb and "
        "postgres are neither in PATH nor below /usr/lib/postgresql). Install one (apt-get install "
        "postgresql)",
        kOtherWay));
  }
  std::unique_ptr<ScratchServer> server(new ScratchServer());
  server->prefix_ = "dunlin_test_";
  DUNLIN_RETURN_IF_ERROR(server->StartServer(bin));
  return server;
}

absl::Status ScratchServer::StartServer(const std::string& bin) {
  DUNLIN_ASSIGN_OR_RETURN(const Account account, FindAccount());
  std::string pattern =
      (ScratchRoot() / absl::StrCat("dunlin_scratch_", getpid(), "_XXXXXX")).string();
  if (mkdtemp(pattern.data()) == nullptr)
    return absl::UnavailableError(absl::StrCat("cannot make a folder ", pattern));
  folder_ = pattern;
  if (account.change && chown(folder_.c_str(), account.uid, account.gid) != 0)
    return absl::UnavailableError(absl::StrCat("cannot give ", folder_, " to postgres"));
  const std::string data = folder_ + "/data", log = folder_ + "/log";
  DUNLIN_ASSIGN_OR_RETURN(
      server_, Spawn({bin + "/initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync",
                      "-E", "UTF8", "--locale=C.UTF-8"},
                     account, log));
  int status = 0;
  while (waitpid(server_, &status, 0) < 0 && errno == EINTR) continue;
  server_ = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return absl::UnavailableError(absl::StrCat(bin, "/initdb failed: ", TailOf(log), kOtherWay));
  }
  DUNLIN_ASSIGN_OR_RETURN(
      server_,
      Spawn({bin + "/postgres", "-D", data, "-k", folder_, "-p", "5432", "-c",
             "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c",
             "shared_buffers=32MB", "-c", "max_connections=60", "-c", "log_min_messages=fatal"},
            account, log));
  dsn_ = Secret(absl::StrCat("host=", folder_, " port=5432 user=postgres dbname=postgres"));
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + kStartTimeout;
  while (!OpenOnServer(dsn_).ok()) {
    const bool ended = waitpid(server_, &status, WNOHANG) == server_;
    if (ended) server_ = -1;
    if (ended || clock.Monotonic() > until || Interrupted()) {
      return absl::UnavailableError(
          absl::StrCat("the scratch server of ", bin, " did not start: ", TailOf(log), kOtherWay));
    }
    clock.SleepFor(absl::Milliseconds(20), {});
  }
  return absl::OkStatus();
}

void ScratchServer::StopServer() {
  if (server_ > 0) {
    kill(server_, SIGQUIT);  // nothing of it needs to last
    Clock& clock = SystemClock();
    const absl::Duration until = clock.Monotonic() + kStopTimeout;
    int status = 0;
    while (waitpid(server_, &status, WNOHANG) == 0) {
      if (clock.Monotonic() > until) kill(server_, SIGKILL);
      clock.SleepFor(absl::Milliseconds(10), {});
    }
  }
  std::error_code error;
  fs::remove_all(folder_, error);
  if (error) std::cerr << "dunlin: cannot remove the scratch server's folder " << folder_ << "\n";
}

ScratchServer::~ScratchServer() {
  if (!folder_.empty()) {
    StopServer();
    return;
  }
  const std::vector<std::string> left = databases_;
  for (const std::string& database : left) {
    if (const absl::Status dropped = Drop(database); !dropped.ok())
      std::cerr << "dunlin: cannot drop the scratch database " << database << ": "
                << dropped.message() << "; drop it by hand\n";
  }
}

absl::StatusOr<Secret> ScratchServer::DsnOf(const std::string& database) const {
  return pg::WithDatabase(dsn_, database);
}

absl::StatusOr<std::string> ScratchServer::Create(const std::string& original) {
  const std::string name = absl::StrCat(prefix_, ++made_);
  DUNLIN_ASSIGN_OR_RETURN(const auto connection, OpenOnServer(dsn_));
  // template0: a site's own template1 may hold anything.
  DUNLIN_RETURN_IF_ERROR(Annotate(
      connection
          ->Query(
              absl::StrCat("CREATE DATABASE ", connection->QuoteIdentifier(name), " TEMPLATE ",
                           original.empty() ? "template0" : connection->QuoteIdentifier(original)),
              {}, {.timeout = absl::Minutes(1)})
          .status(),
      "creating a scratch database"));
  databases_.push_back(name);
  return name;
}

absl::Status ScratchServer::Drop(const std::string& database) {
  DUNLIN_ASSIGN_OR_RETURN(const auto connection, OpenOnServer(dsn_));
  DUNLIN_RETURN_IF_ERROR(connection
                             ->Query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                     "datname = $1 AND usename = current_user",
                                     {database})
                             .status());
  const bool force = connection->server_version() >= 130000;
  DUNLIN_RETURN_IF_ERROR(
      connection
          ->Query(absl::StrCat("DROP DATABASE IF EXISTS ", connection->QuoteIdentifier(database),
                               force ? " WITH (FORCE)" : ""),
                  {}, {.timeout = absl::Minutes(1)})
          .status());
  std::erase(databases_, database);
  return absl::OkStatus();
}

}  // namespace dunlin::cli
