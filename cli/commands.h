// One function a command; each returns its exit code.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/context.h"
#include "cli/migration_files.h"

#include "common/clock.h"
#include "common/ids.h"
#include "common/status_util.h"

namespace dunlin::cli {

// While a command waits for what it has asked for.
inline constexpr absl::Duration kLookEvery = absl::Milliseconds(100);

struct StartOptions {
  std::vector<std::string> files;
  bool wait = false;
  bool dry_run = false;
  int64_t stop_after_rows = 0;
  int priority = 0;  // 0 = 100
  std::map<std::string, std::string> parameters;
  std::string reason;
  std::string schema_wait = "30s";  // or none
  std::string at;                   // --at: when to begin; empty = at once
  bool in_process = false;          // `local`: its agent comes right behind
};
int RunStart(const GlobalOptions& global, const StartOptions& options);
// Every migration of a folder that never had a run, in version order; `options.files` is not looked
// at.
int RunUp(const GlobalOptions& global, const std::string& folder, const StartOptions& options);

struct GateOptions {
  std::vector<std::string> migrations;  // names, versions, files or one folder
  std::string soak;                     // a duration, or "file"; empty = none
  std::string confirmed_within = "5m";
  bool wait = false;
  std::string timeout;  // of --wait; empty = none
};
int RunGate(const GlobalOptions& global, const GateOptions& options);
int RunPause(const GlobalOptions& global, const std::string& run, const std::string& reason,
             absl::Duration timeout);
int RunPauseAll(const GlobalOptions& global, const std::string& reason, absl::Duration timeout);
int RunResumeAll(const GlobalOptions& global, const std::string& reason);
int RunApprove(const GlobalOptions& global, const std::string& run, const std::string& reason);
struct RedoOptions {
  std::string run, reason, schema_wait;
  bool apply_twice = false;
};
int RunRedo(const GlobalOptions& global, const RedoOptions& options);
struct UndoOptions {
  std::string run, reason;
  bool wait = false;
};
int RunUndo(const GlobalOptions& global, const UndoOptions& options);
// Exit 0 when it is done, also when nothing was there; 1 when it could not be; 3 when it takes
// longer.
int RunAdopt(const GlobalOptions& global, const std::string& target, const std::string& reason);
int RunForget(const GlobalOptions& global, const std::string& run, const std::string& reason);
struct BaselineOptions {
  std::string folder = "db/data_migrations";
  std::string through;  // the last version, or its name
  std::string target;   // only on that one; empty = on all of each file
  std::string reason;
};
int RunBaseline(const GlobalOptions& global, const BaselineOptions& options);
int RunResume(const GlobalOptions& global, const std::string& run, const std::string& reason,
              int64_t stop_after_rows);
int RunCancel(const GlobalOptions& global, const std::string& run, const std::string& reason);
struct ThrottleOptions {
  std::string run;  // or "all"
  std::string reason;
  // Empty = unchanged.
  std::string concurrency, rows_per_second, batch_time, ratio;
  std::string lasts;  // --for; empty = for good
};
int RunThrottle(const GlobalOptions& global, const ThrottleOptions& options);
int RunQuarantineList(const GlobalOptions& global, const std::string& run);
// Keys as CSV; `step` 0 = all, which must then have the same key columns.
int RunQuarantineExport(const GlobalOptions& global, const std::string& run, int step);
int RunQuarantineRetry(const GlobalOptions& global, const std::string& run,
                       const std::string& reason);
int RunQuarantineAccept(const GlobalOptions& global, const std::string& run,
                        const std::string& reason);
int RunStatus(const GlobalOptions& global, const std::string& run);
int RunList(const GlobalOptions& global);
int RunShow(const GlobalOptions& global, const std::string& run);
int RunEvents(const GlobalOptions& global, const std::string& run, bool all);
int RunWatch(const GlobalOptions& global, const std::string& run, int64_t from_revision);
int RunAgents(const GlobalOptions& global);
struct CheckOptions {
  std::vector<std::string> files;
  std::map<std::string, std::string> parameters;  // as `start` takes them
  bool show_rows = false;                         // also when it is no terminal that reads
};
// Exit code 1: a finding is an error.
int RunCheck(const GlobalOptions& global, const CheckOptions& options);
struct NewOptions {
  std::string name;  // "<snake_name>", or with a version in front
  std::string table;
  std::string kind = "backfill";
  std::string folder = "db/data_migrations";
  bool with_test = true;
};
// Exit code 5: a file of that name is there already.
int RunNew(const GlobalOptions& global, const NewOptions& options);

struct TestOptions {
  std::vector<std::string> files;  // migrations, or their tests
  std::string server;              // DSN or @FILE; empty = one of its own
};
// Exit codes: 1 a case failed, 2 a file is wrong, 4 no scratch database to be had, 5 none may be
// made.
int RunTest(const GlobalOptions& global, const TestOptions& options);
int RunLedgerSql(const std::string& role);

struct LocalOptions {
  StartOptions start;
  int slots = 4;
  int verbosity = 0;
};
int RunLocal(const GlobalOptions& global, const LocalOptions& options);

// Starts each on each of its targets and prints what happened; the runs that are live in `live`.
// Returns the exit code so far.
int StartFiles(Client& client, const GlobalOptions& global, const StartOptions& options,
               const std::vector<MigrationFile>& files, const std::string& how_to_reach,
               std::vector<std::string>& live);

// How the next command reaches the same place: " --database …" or nothing.
std::string Reach(const GlobalOptions& global);
// A run as a command answers it: two lines, or an object.
void PrintRun(const GlobalOptions& global, const pb::Run& run);

// Asks again for a while when the agent is this process's own and has not registered yet.
template <typename Ask>
auto AskWhenAgentIsThere(const Connection& connection, Ask ask) {
  constexpr absl::Duration kWait = absl::Seconds(10);
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + kWait;
  auto answer = ask();
  while (dunlin::ReasonOf(answer.status()) == "NO_AGENT" && connection.local_agent != nullptr &&
         clock.Monotonic() < until) {
    clock.SleepFor(absl::Milliseconds(100), {});
    answer = ask();
  }
  return answer;
}

// A command with its request id; the reason is for the log of events.
template <typename Request>
Request MakeCommand(const GlobalOptions& global, const std::string& reason) {
  Request request;
  request.set_request_id(MakeUuid());
  request.set_operator_name(global.operator_name);
  request.set_reason(reason);
  return request;
}

}  // namespace dunlin::cli
