#include "tests/testlib/pg_server.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/log.h"

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

}  // namespace

PgServer::PgServer() : port_(FreePort()) {
  std::string pattern = "/tmp/dunlin_pg_XXXXXX";
  CHECK(mkdtemp(pattern.data()) != nullptr);
  folder_ = pattern;
  if (getuid() == 0) {
    const RunResult owned = RunToEnd({"chown", "postgres", folder_});
    CHECK_EQ(owned.exit_code, 0) << owned.output;
  }
  const RunResult made =
      RunToEnd(AsPostgres({absl::StrCat(kBin, "initdb"), "-D", folder_ + "/data", "-A", "trust",
                           "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"}));
  CHECK_EQ(made.exit_code, 0) << made.output;
  Start();
}

PgServer::~PgServer() {
  postmaster_->Signal(SIGQUIT);
  postmaster_->Wait(absl::Seconds(10));
  postmaster_.reset();
  std::error_code ignored;  // a leftover in /tmp fails no test
  std::filesystem::remove_all(folder_, ignored);
}

void PgServer::Start() {
  postmaster_ = std::make_unique<Process>(
      AsPostgres({absl::StrCat(kBin, "postgres"), "-D", folder_ + "/data", "-p",
                  absl::StrCat(port_), "-k", folder_, "-c", "listen_addresses=127.0.0.1", "-c",
                  "fsync=off", "-c", "max_connections=200", "-c", "log_min_messages=fatal"}));
  const bool up = Eventually(
      absl::Seconds(30), [&] { return pg::Connection::Connect(Secret(Dsn("postgres")), {}).ok(); });
  CHECK(up) << postmaster_->Output();
}

void PgServer::CrashAndRestart() {
  postmaster_->Signal(SIGQUIT);
  CHECK_NE(postmaster_->Wait(absl::Seconds(20)), -1);
  Start();
}

std::string PgServer::Dsn(const std::string& database) const {
  return absl::StrCat("postgresql://postgres@127.0.0.1:", port_, "/", database);
}

std::unique_ptr<pg::Connection> PgServer::Connect(const std::string& database) {
  auto connection = pg::Connection::Connect(Secret(Dsn(database)), {});
  CHECK(connection.ok()) << connection.status().message();
  return *std::move(connection);
}

void PgServer::CreateDatabase(const std::string& name, const std::string& options) {
  Exec("postgres", absl::StrCat("CREATE DATABASE ", name, " ", options));
}

void PgServer::Exec(const std::string& database, const std::string& sql) {
  const absl::Status status = Connect(database)->ExecuteScript(sql, {.timeout = absl::Minutes(1)});
  CHECK(status.ok()) << status.message() << " in " << sql;
}

std::string PgServer::Text(const std::string& database, const std::string& sql) {
  const auto result = Connect(database)->Query(sql);
  CHECK(result.ok()) << result.status().message() << " in " << sql;
  return result->rows.empty() ? std::string() : result->rows[0][0].value_or("");
}

int64_t PgServer::Int(const std::string& database, const std::string& sql) {
  int64_t number = -1;
  CHECK(absl::SimpleAtoi(Text(database, sql), &number));
  return number;
}

}  // namespace dunlin::testing
