#include "cli/context.h"

#include <signal.h>

#include <atomic>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/exit_code.h"

#include "common/dsn_source.h"
#include "common/pg/connection.h"
#include "common/rpc/channel.h"

namespace dunlin::cli {
namespace {
std::atomic<bool> interrupted = false;
extern "C" void OnSignal(int) { interrupted = true; }
}  // namespace

bool Interrupted() { return interrupted; }

void InstallInterrupt() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int Complain(const absl::Status& status) {
  std::cerr << "dunlin: " << status.message() << "\n";
  return ExitCodeOf(status);
}

namespace {

absl::StatusOr<Connection> ConnectToDatabase(const GlobalOptions& options, bool to_work) {
  Connection connection;
  DUNLIN_ASSIGN_OR_RETURN(const Secret dsn, ReadDsn(options.database));
  DUNLIN_RETURN_IF_ERROR(pg::ValidateDsn(dsn));
  auto made = coordinator::Coordinator::Make(
      {.store_dsn = dsn, .local = true, .migrate_schema = to_work, .background = to_work});
  if (absl::IsNotFound(made.status())) {
    return absl::NotFoundError(
        absl::StrCat(made.status().message(), "; `dunlin local FILE --database …` makes one"));
  }
  if (!made.ok()) return made.status();
  connection.in_process = *std::move(made);
  connection.client = std::make_unique<Client>(
      std::vector<std::shared_ptr<grpc::Channel>>{connection.in_process->InProcessChannel()},
      absl::StrCat("database ", pg::DescribeDsn(dsn)));
  if (!to_work) return connection;
  auto agent = LocalAgent::Make(*connection.in_process, dsn);
  if (agent.ok()) {
    connection.local_agent = *std::move(agent);
  } else if (!absl::IsPermissionDenied(agent.status())) {
    return agent.status();
  }  // else a `dunlin local` lives, and does the work
  return connection;
}

}  // namespace

absl::StatusOr<Connection> ConnectToWork(const GlobalOptions& options) {
  return options.database.empty() ? Connect(options) : ConnectToDatabase(options, true);
}

absl::StatusOr<Connection> Connect(const GlobalOptions& options) {
  if (!options.database.empty()) return ConnectToDatabase(options, false);
  Connection connection;
  if (options.coordinator.empty()) {
    return absl::InvalidArgumentError(
        "where to? Say --coordinator HOST:PORT (or set DUNLIN_COORDINATOR), or --database DSN (or "
        "DUNLIN_DATABASE) for what `dunlin local` runs");
  }
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (const absl::string_view part :
       absl::StrSplit(options.coordinator, ',', absl::SkipWhitespace())) {
    DUNLIN_RETURN_IF_ERROR(ValidateAddress(part));
    if (!IsLoopback(part) && !options.insecure) {
      return absl::InvalidArgumentError(absl::StrCat(
          "coordinator ", part,
          " is not on loopback and is spoken to in plain text for now; say --insecure (or set "
          "DUNLIN_INSECURE) if every host on the way is trusted"));
    }
    channels.push_back(MakeChannel(std::string(part)));
  }
  connection.client = std::make_unique<Client>(std::move(channels),
                                               absl::StrCat("coordinator ", options.coordinator));
  return connection;
}

}  // namespace dunlin::cli
