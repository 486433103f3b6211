#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/pg/connection.h"
#include "tests/testlib/process.h"

namespace dunlin::testing {

// A scratch PostgreSQL server of the test's own, on a free loopback port, removed at the end.
class PgServer {
 public:
  // `settings`: of postgresql.conf, as name=value.
  explicit PgServer(std::vector<std::string> settings = {});
  ~PgServer();
  // Immediate stop (as a crash) and start again.
  void CrashAndRestart();

  // `at`: HOST:PORT of something that stands in between; empty = the server itself.
  std::string Dsn(const std::string& database, const std::string& at = "") const;
  int port() const { return port_; }
  void CreateDatabase(const std::string& name, const std::string& options = "");
  void Exec(const std::string& database, const std::string& sql);
  // The first column of the first row.
  std::string Text(const std::string& database, const std::string& sql);
  int64_t Int(const std::string& database, const std::string& sql);
  // A session of the test's own (an application's).
  std::unique_ptr<pg::Connection> Connect(const std::string& database);

 private:
  void Start();

  const std::vector<std::string> settings_;
  std::string folder_;
  const int port_;
  std::unique_ptr<Process> postmaster_;
};

}  // namespace dunlin::testing
