// `undo` and `forget`.
#include <iostream>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/watch.h"
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/status_macros.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

constexpr absl::Duration kWaitForForgetting = absl::Seconds(60);

void TellUndone(const pb::Run& run) {
  if (run.state() != pb::Run::STATE_FINISHED) return;
  std::cout << run.migration() << " is undone on " << run.target() << ": "
            << HumanCount(run.rows_changed()) << " rows are as they were";
  std::cout << (run.rows_left() == 0 ? std::string(", all of them") : std::string(", all but some"))
            << "\n";
  for (const std::string& line : LeftLines(run)) std::cout << "  " << line << "\n";
}

}  // namespace

int RunUndo(const GlobalOptions& global, const UndoOptions& options) {
  const auto connection = ConnectToWork(global);
  if (!connection.ok()) return Complain(connection.status());
  Client& client = *connection->client;
  auto request = MakeCommand<pb::UndoRunRequest>(global, options.reason);
  request.set_run(options.run);
  const auto undo = client.UndoRun(request);
  if (!undo.ok()) return Complain(undo.status());
  // On a laptop nobody else would do it.
  const bool wait = options.wait || connection->local_agent != nullptr;
  if (!wait) {
    PrintRun(global, *undo);
    if (!global.json()) {
      std::cout << "  a run that takes " << undo->follows_run_id()
                << " back. Its gate fails from now on, dunlin.require() as soon as it has begun in "
                   "the database. Follow it: dunlin watch "
                << undo->migration() << Reach(global) << "\n";
    }
    return kDone;
  }
  InstallInterrupt();
  const int watched = WatchRuns(client, {undo->run_id()}, {.json = global.json()});
  if (watched == kInterrupted || global.json()) return watched;
  const auto ended = client.GetRun(undo->run_id());
  if (!ended.ok()) return Complain(ended.status());
  TellUndone(*ended);
  return watched;
}

int RunForget(const GlobalOptions& global, const std::string& run, const std::string& reason) {
  const auto connection = ConnectToWork(global);
  if (!connection.ok()) return Complain(connection.status());
  Client& client = *connection->client;
  auto request = MakeCommand<pb::ForgetRunRequest>(global, reason);
  request.set_run(run);
  auto forgotten = AskWhenAgentIsThere(*connection, [&] { return client.ForgetRun(request); });
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + kWaitForForgetting;
  while (forgotten.ok() && !forgotten->has_forget_time() && clock.Monotonic() < until) {
    clock.SleepFor(kLookEvery, {});
    forgotten = client.GetRun(forgotten->run_id());
  }
  if (!forgotten.ok()) return Complain(forgotten.status());
  if (global.json()) {
    std::cout << RunJson(*forgotten).dump() << "\n";
  } else if (forgotten->has_forget_time()) {
    std::cout << "before-images and shard rows of " << forgotten->migration() << " are dropped on "
              << forgotten->target() << "; it cannot be undone any more. Its record stays\n";
  }
  if (forgotten->has_forget_time()) return kDone;
  std::cerr << "dunlin: the agent of " << forgotten->target()
            << " is still at it, gone, or could not; see what it said: dunlin events "
            << forgotten->migration() << Reach(global) << ". The same command again is safe\n";
  return kNotFinished;
}

}  // namespace dunlin::cli
