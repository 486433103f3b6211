#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "common/mutex.h"
#include "common/pg/connection.h"
#include "tests/testlib/process.h"

namespace dunlin::testing {

// A scratch PostgreSQL server of the test's own, on a free loopback port, removed at the end.
class PgServer {
 public:
  // `settings`: of postgresql.conf, as name=value. Its wall clock is `clock_off` seconds off.
  explicit PgServer(std::vector<std::string> settings = {}, int clock_off = 0);
  ~PgServer();
  // Immediate stop (as a crash) and start again.
  void CrashAndRestart();

  // A streaming replica, by pg_basebackup; it is up and has replayed everything.
  std::unique_ptr<PgServer> MakeReplica();
  // Of a replica: it receives nothing more, however far the primary goes on.
  void FallBehind();
  // Of a replica, on the next timeline; returns when it takes writes.
  void Promote();
  // Immediate stop, as when the machine is lost.
  void Kill();
  // Again, after Kill().
  void Start();

  // `at`: HOST:PORT of something that stands in between; empty = the server itself.
  std::string Dsn(const std::string& database, const std::string& at = "") const;
  // Of whichever of the two takes writes.
  std::string DsnWith(const PgServer& other, const std::string& database) const;
  int port() const { return port_; }
  void CreateDatabase(const std::string& name, const std::string& options = "");
  void DropDatabase(const std::string& name, const std::string& options = "");
  // In a session that is kept for the next: what a script sets there stays. Connecting costs a
  // server more than most of what tests ask.
  void Exec(const std::string& database, const std::string& sql);
  // The first column of the first row.
  std::string Text(const std::string& database, const std::string& sql);
  int64_t Int(const std::string& database, const std::string& sql);
  // A session of the test's own (an application's).
  std::unique_ptr<pg::Connection> Connect(const std::string& database);

 private:
  struct Copied {};
  PgServer(Copied, std::vector<std::string> settings, int clock_off);  // without data
  std::vector<std::string> Command() const;
  bool Answers() const;
  // Out of those kept, or a new one: another thread may wait in one for a lock meanwhile.
  std::unique_ptr<pg::Connection> Take(const std::string& database);
  void Keep(const std::string& database, std::unique_ptr<pg::Connection> connection);

  const std::vector<std::string> settings_;
  const int clock_off_;
  std::string folder_;
  int port_;
  bool started_ = false;    // others may know its port
  bool read_write_ = true;  // no replica
  std::unique_ptr<Process> postmaster_;
  Mutex mutex_;
  std::map<std::string, std::vector<std::unique_ptr<pg::Connection>>> kept_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::testing
