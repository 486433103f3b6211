// What not every machine has, as it needs root or a package: each is empty where it cannot be made,
// with a line that says so.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/testlib/process.h"

namespace dunlin::testing {

// A disk of a few MiB that can be filled up; empty and owned by postgres at first.
// Thread safety: one thread.
class SmallDisk {
 public:
  static std::unique_ptr<SmallDisk> Make(int mebibytes);
  ~SmallDisk();
  const std::string& folder() const { return folder_; }
  void FillUp();
  void Clear();

 private:
  explicit SmallDisk(std::string folder) : folder_(std::move(folder)) {}
  const std::string folder_;
};

// A network of its own for one process, with a cable to this machine that can be dead: then packets
// vanish, and neither side hears of it. Thread safety: one thread.
class NetworkNamespace {
 public:
  static std::unique_ptr<NetworkNamespace> Make();
  ~NetworkNamespace();
  // What to write before an argv to run it inside.
  std::vector<std::string> Prefix() const;
  // How this machine is called from inside.
  const std::string& host() const { return host_; }
  void SetDead(bool dead);

 private:
  NetworkNamespace(std::string name, std::string host)
      : name_(std::move(name)), host_(std::move(host)) {}
  const std::string name_, host_;
};

// A PgBouncer in front of every database of a server on this machine, in transaction mode and with
// fewer sessions than clients: each transaction may be on another session of the server. Thread
// safety: one thread.
class PgBouncer {
 public:
  static constexpr int kPoolSize = 3;  // sessions of the server for each database and role
  static std::unique_ptr<PgBouncer> Make(int server_port);
  ~PgBouncer();
  int port() const { return port_; }
  std::string Dsn(const std::string& database) const;
  // SIGKILL, and up again.
  void Restart();
  // To another server, as after a failover; its clients stay connected.
  void MoveTo(int server_port);
  std::string Output() const { return process_->Output(); }

 private:
  PgBouncer(std::string folder, int port) : folder_(std::move(folder)), port_(port) {}
  void Configure(int server_port);
  void Start();
  const std::string folder_;
  const int port_;
  std::unique_ptr<Process> process_;
};

// What to write before an argv so that the process's wall clock is `seconds` off and its monotonic
// one is not (other_clock.cc); empty for 0.
std::vector<std::string> OtherClock(int seconds);

}  // namespace dunlin::testing
