// dunlin-agent: flags → AgentOptions → Make → Run; nothing else.
#include <signal.h>
#include <unistd.h>

#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <CLI/CLI.hpp>

#include "agent/agent.h"
#include "common/dsn_source.h"
#include "common/log.h"
#include "common/rpc/channel.h"
#include "common/status_macros.h"
#include "common/text/duration.h"

namespace dunlin::agent {
namespace {

struct Flags {
  std::string coordinators;
  std::vector<std::string> targets;
  std::vector<std::string> pooled_targets;
  int slots = 4;
  std::string migrations_dir;
  bool any_migration = false;
  std::string exit_when_idle;
  std::string name;
  bool insecure = false;
  int verbosity = 0;
};

absl::Status AddTargets(const std::vector<std::string>& targets, bool pooled,
                        AgentOptions& options) {
  for (const std::string& target : targets) {
    const std::pair<std::string, std::string> halves =
        absl::StrSplit(target, absl::MaxSplits('=', 1));
    if (halves.first.empty() || halves.second.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(pooled ? "--target-pooled" : "--target",
                       " takes NAME=DSN, or NAME=@FILE with the connection string in a file"));
    }
    DUNLIN_ASSIGN_OR_RETURN(Secret dsn, ReadDsn(halves.second));
    const AgentTarget made{.dsn = std::move(dsn), .pooled = pooled};
    if (!options.targets.emplace(halves.first, made).second)
      return absl::InvalidArgumentError(absl::StrCat("target ", halves.first, " is given twice"));
  }
  return absl::OkStatus();
}

absl::StatusOr<AgentOptions> ToOptions(const Flags& flags) {
  AgentOptions options{
      .slots = flags.slots, .migrations_dir = flags.migrations_dir, .name = flags.name};
  bool loopback = true;
  for (const absl::string_view part :
       absl::StrSplit(flags.coordinators, ',', absl::SkipWhitespace())) {
    const std::string address(part);
    DUNLIN_RETURN_IF_ERROR(ValidateAddress(address));
    loopback = loopback && IsLoopback(address);
    options.coordinators.push_back(MakeChannel(address));
  }
  if (!loopback && !flags.insecure) {
    return absl::InvalidArgumentError(
        "a coordinator that is not on loopback is spoken to in plain text for now; say --insecure "
        "if the network between is trusted");
  }
  // What a coordinator in the wrong hands could make an agent run is limited to what was shipped
  // with a deploy.
  options.any_migration = flags.any_migration || loopback;
  if (flags.migrations_dir.empty() && !options.any_migration) {
    return absl::InvalidArgumentError(
        "name the deployed migration files with --migrations-dir, or accept whatever the "
        "coordinator sends with --any-migration");
  }
  DUNLIN_RETURN_IF_ERROR(AddTargets(flags.targets, false, options));
  DUNLIN_RETURN_IF_ERROR(AddTargets(flags.pooled_targets, true, options));
  if (!flags.exit_when_idle.empty()) {
    DUNLIN_ASSIGN_OR_RETURN(options.exit_when_idle, ParseDuration(flags.exit_when_idle));
  }
  return options;
}

int RunAgent(const Flags& flags) {
  // Signals are waited for by this thread alone.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  InitLogging("dunlin-agent", flags.verbosity, false);

  absl::StatusOr<AgentOptions> options = ToOptions(flags);
  absl::StatusOr<std::unique_ptr<Agent>> agent =
      options.ok() ? Agent::Make(*std::move(options)) : options.status();
  if (!agent.ok()) {
    std::cerr << "dunlin-agent: " << agent.status().message() << "\n";
    return 2;
  }
  if (flags.migrations_dir.empty())
    LOG(WARNING) << Event("any_migration").Kv("meaning", "runs whatever the coordinator sends");
  std::jthread runner([&](std::stop_token stop) {
    (*agent)->Run(stop);
    kill(getpid(), SIGTERM);  // ended by itself (--exit-when-idle): wakes the wait below
  });
  int caught = 0;
  sigwait(&signals, &caught);
  runner.request_stop();
  runner.join();
  LOG(INFO) << Event("agent_ended");
  return 0;
}

}  // namespace
}  // namespace dunlin::agent

int main(int argc, char** argv) {
  dunlin::agent::Flags flags;
  CLI::App app{"Works on shards that a coordinator leases to it, near the target database."};
  app.set_version_flag("--version", "dunlin-agent 0.1.0");
  app.add_option("--coordinator", flags.coordinators, "HOST:PORT[,HOST:PORT…] of the coordinators")
      ->required();
  app.add_option("--target", flags.targets, "NAME=DSN or NAME=@FILE; may be repeated");
  app.add_option("--target-pooled", flags.pooled_targets,
                 "the same, of a database behind a pooler in transaction mode (PgBouncer)");
  app.add_option("--slots", flags.slots, "shards in work at once (1 to 256)")
      ->capture_default_str();
  app.add_option("--migrations-dir", flags.migrations_dir,
                 "run only definitions whose digest is that of a file here");
  app.add_flag("--any-migration", flags.any_migration,
               "run whatever the coordinator sends (implied on loopback)");
  app.add_option("--exit-when-idle", flags.exit_when_idle,
                 "end when no run of these targets was live for so long, such as 5m");
  app.add_option("--name", flags.name, "how it is called in lists (default: host:pid)");
  app.add_flag("--insecure", flags.insecure,
               "allow plain text to coordinators that are not on loopback");
  app.add_option("-v,--verbosity", flags.verbosity, "log more (0 to 3)");
  app.footer(
      "Example: dunlin-agent --coordinator 127.0.0.1:7070 --target orders=@/etc/dunlin/orders.dsn\n"
      "Exit codes: 0 ended (SIGTERM drains: the batches in flight end, leases are released), 2 bad "
      "options.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return dunlin::agent::RunAgent(flags);
}
