#pragma once

#include <memory>
#include <string>

#include "common/pg/connection.h"
#include "tests/testlib/process.h"

namespace dunlin::testing {

// A scratch PostgreSQL server of the test's own, on a free loopback port, removed at the end.
class PgServer {
 public:
  PgServer();
  ~PgServer();
  // Immediate stop (as a crash) and start again.
  void CrashAndRestart();

  std::string Dsn(const std::string& database) const;
  void CreateDatabase(const std::string& name, const std::string& options = "");
  void Exec(const std::string& database, const std::string& sql);
  // The first column of the first row.
  std::string Text(const std::string& database, const std::string& sql);
  int64_t Int(const std::string& database, const std::string& sql);

 private:
  void Start();
  std::unique_ptr<pg::Connection> Connect(const std::string& database);

  std::string folder_;
  int port_;
  std::unique_ptr<Process> postmaster_;
};

}  // namespace dunlin::testing
