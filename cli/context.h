#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/local_process.h"

#include "coordinator/coordinator.h"

namespace dunlin::cli {

// Global options, before or after the command.
struct GlobalOptions {
  std::string coordinator;  // HOST:PORT[,HOST:PORT]
  std::string database;     // DSN or @FILE
  bool insecure = false;    // plain text to addresses that are not loopback
  std::string operator_name;
  std::string output = "text";
  bool json() const { return output == "json"; }
};

// A way to a coordinator: over the network, or inside this process on the store that `dunlin local`
// keeps in the database (coordinators are stateless, so that just works).
struct Connection {
  std::unique_ptr<coordinator::Coordinator> in_process;  // outlives the others
  std::unique_ptr<Client> client;
  std::unique_ptr<LocalAgent> local_agent;
};
absl::StatusOr<Connection> Connect(const GlobalOptions& options);
// For commands that have work done in the target: with --database there is no agent but in a
// running `dunlin local`, so without one the command brings its own, and makes the store if there
// is none.
absl::StatusOr<Connection> ConnectToWork(const GlobalOptions& options);

// "dunlin: …" on stderr; returns the exit code that belongs to it.
int Complain(const absl::Status& status);

// Set by SIGINT and SIGTERM (InstallInterrupt).
bool Interrupted();
void InstallInterrupt();

}  // namespace dunlin::cli
