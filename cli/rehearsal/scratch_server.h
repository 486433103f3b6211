#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/secret.h"

namespace dunlin::cli {

// A place for scratch databases: a server that the caller names, or one of its own, started from
// the PostgreSQL that is installed here, in a folder of its own, reached by a socket only. What it
// made is gone when the object goes.
// Thread safety: one thread, the one that made it: when that ends, the server does too.
class ScratchServer {
 public:
  // Databases on the server of `dsn`. PERMISSION_DENIED when the role may not make any.
  static absl::StatusOr<std::unique_ptr<ScratchServer>> On(const Secret& dsn);
  // A server of its own. UNAVAILABLE says why there can be none, and the other way.
  static absl::StatusOr<std::unique_ptr<ScratchServer>> Start();
  ~ScratchServer();
  ScratchServer(const ScratchServer&) = delete;
  ScratchServer& operator=(const ScratchServer&) = delete;

  // Makes a database with a random name, of `original` if given, to which nobody is connected.
  absl::StatusOr<std::string> Create(const std::string& original = "");
  absl::Status Drop(const std::string& database);
  absl::StatusOr<Secret> DsnOf(const std::string& database) const;

 private:
  ScratchServer() = default;
  absl::Status StartServer(const std::string& bin);
  void StopServer();

  Secret dsn_;
  std::string prefix_;  // of the names of databases
  int made_ = 0;
  std::vector<std::string> databases_;
  std::string folder_;  // empty = somebody else's server
  pid_t server_ = -1;
};

// The folder of initdb and postgres: of PATH, else the newest of Debian's. Empty = none.
std::string FindPostgresBin();

}  // namespace dunlin::cli
