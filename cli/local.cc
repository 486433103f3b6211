// `dunlin local`: coordinator and agent in one process against one database, store included. No
// port.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/local_process.h"
#include "cli/output.h"
#include "cli/schema_wait.h"
#include "cli/watch.h"

#include "agent/agent.h"
#include "common/clock.h"
#include "common/dsn_source.h"
#include "common/log.h"
#include "common/pg/connection.h"

namespace dunlin::cli {
namespace {

constexpr absl::Duration kLockWait = absl::Seconds(2);

// Waits until all have ended, showing progress. Ctrl-C ends it early.
int WatchToEnd(Client& client, const GlobalOptions& global, const std::vector<std::string>& live) {
  return WatchRuns(client, live, {.json = global.json()});
}

void PrintEnd(Client& client, const GlobalOptions& global, const std::vector<std::string>& live) {
  for (const std::string& id : live) {
    const auto run = client.GetRun(id);
    if (!run.ok() || global.json()) continue;
    if (run->state() == pb::Run::STATE_FINISHED) {
      std::cout << run->migration() << " finished: " << run->rows_changed() << " rows changed in "
                << run->batches_done() << " batches" << std::endl;
    } else if (ExitCodeOf(run->state()) == kNeedsPerson) {
      std::cerr << "dunlin: " << run->migration()
                << " needs you: " << (run->error().empty() ? run->reason() : run->error())
                << "\ndunlin: then go on with: dunlin " << NextCommand(*run)
                << " --database … && dunlin local FILE --database …" << std::endl;
    }
  }
}

}  // namespace

int RunLocal(const GlobalOptions& global, const LocalOptions& options) {
  if (global.database.empty()) {
    return Complain(
        absl::InvalidArgumentError("which database? Say --database DSN (or set DUNLIN_DATABASE)"));
  }
  if (const auto wait = ParseSchemaWait(options.start.schema_wait); !wait.ok())
    return Complain(wait.status());
  const auto files = ReadFiles(options.start.files);
  if (!files.ok()) return Complain(files.status());
  const absl::StatusOr<Secret> dsn = ReadDsn(global.database);
  if (!dsn.ok()) return Complain(dsn.status());
  InstallInterrupt();
  const auto lock = TakeLocalLock(*dsn, kLockWait);
  if (!lock.ok()) return Complain(lock.status());
  auto coordinator = coordinator::Coordinator::Make({.store_dsn = *dsn, .local = true});
  if (!coordinator.ok()) return Complain(coordinator.status());
  // Whoever held leases here is dead: its lock is gone. Fencing makes it safe even if that were
  // wrong.
  const absl::Status revoked = (*coordinator)->RevokeAllLeases("a new dunlin local took over");
  if (!revoked.ok()) return Complain(revoked);

  const auto channel = (*coordinator)->InProcessChannel();
  auto agent = agent::Agent::Make({.coordinators = {channel},
                                   .targets = {{lock->database, {.dsn = *dsn}}},
                                   .slots = options.slots,
                                   .any_migration = true,
                                   .name = "local"});
  if (!agent.ok()) return Complain(agent.status());
  Client client({channel}, absl::StrCat("database ", pg::DescribeDsn(*dsn)));
  std::vector<std::string> live;
  StartOptions start = options.start;
  start.in_process = true;
  const int started = StartFiles(client, global, start, *files, " --database …", live);
  // Behind the start, so that it finds the runs when it first asks for work.
  std::jthread worker([&](std::stop_token stop) { (*agent)->Run(stop); });
  std::atomic<bool> lock_lost = false;
  std::jthread guard([&](std::stop_token stop) {
    while (!stop.stop_requested() && !lock->connection->broken())
      SystemClock().SleepFor(absl::Milliseconds(500), stop);
    if (stop.stop_requested()) return;
    // Another `local` may begin now; the leases are fenced, so both are safe, but only one should
    // go on.
    lock_lost = true;
    worker.request_stop();
    kill(getpid(), SIGTERM);
  });

  const int watched = live.empty() ? kDone : WatchToEnd(client, global, live);
  guard.request_stop();
  // Drains: the batches in flight end and are checkpointed, the leases are released.
  worker.request_stop();
  worker.join();
  if (watched != kInterrupted) PrintEnd(client, global, live);
  (*coordinator)->Shutdown();
  if (lock_lost) {
    std::cerr << "dunlin: the database ended the connection that says this process lives; run the "
                 "same command again to go on"
              << std::endl;
    return kUnreachable;
  }
  if (watched == kInterrupted) {
    std::cerr
        << "dunlin: stopped between two batches; nothing is half done. Go on with: dunlin local "
        << absl::StrJoin(options.start.files, " ") << " --database …" << std::endl;
  }
  return std::max(started, watched);
}

}  // namespace dunlin::cli
