// One function a command; each returns its exit code.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/context.h"
#include "cli/migration_files.h"

#include "common/ids.h"

namespace dunlin::cli {

struct StartOptions {
  std::vector<std::string> files;
  bool wait = false;
  bool dry_run = false;
  int64_t stop_after_rows = 0;
  std::map<std::string, std::string> parameters;
  std::string reason;
  std::string at;           // --at: when to begin; empty = at once
  bool in_process = false;  // `local`: its agent comes right behind
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
int RunRedo(const GlobalOptions& global, const std::string& run, const std::string& reason,
            bool apply_twice);
struct UndoOptions {
  std::string run, reason;
  bool wait = false;
};
int RunUndo(const GlobalOptions& global, const UndoOptions& options);
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
int RunCheck(const GlobalOptions& global, const std::vector<std::string>& files);
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

// Rows that an undo has left as they are, the first ten.
void PrintLeft(const pb::Run& run);

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
