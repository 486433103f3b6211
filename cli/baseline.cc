// `baseline`: migrations of a folder are recorded as done elsewhere.
#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include <nlohmann/json.hpp>

#include "common/clock.h"

namespace dunlin::cli {
namespace {

using nlohmann::json;

constexpr absl::Duration kWaitForRecords = absl::Seconds(30);

std::string VersionOf(const std::string& name) { return name.substr(0, name.find('_')); }

class Baseliner {
 public:
  Baseliner(Client& client, const GlobalOptions& global, const BaselineOptions& options)
      : client_(client), global_(global), options_(options) {}

  // False: an error was told, and the exit code is `code()`.
  bool Record(const MigrationFile& file) {
    const auto targets = client_.ResolveTargets(file.name, file.bytes);
    if (!targets.ok()) return Refuse(targets.status());
    for (const std::string& target : *targets) {
      if (!options_.target.empty() && target != options_.target) continue;
      auto request = MakeCommand<pb::BaselineMigrationRequest>(global_, options_.reason);
      request.set_migration(file.name);
      request.set_definition(file.bytes);
      request.set_target(target);
      const auto recorded = client_.BaselineMigration(request);
      if (!recorded.ok()) return Refuse(recorded.status());
      runs_.push_back({recorded->run(), recorded->created()});
    }
    return true;
  }

  // An agent of the target writes the records.
  bool Wait() {
    Clock& clock = SystemClock();
    const absl::Duration until = clock.Monotonic() + kWaitForRecords;
    for (Recorded& one : runs_) {
      while (one.created && one.run.state() == pb::Run::STATE_PENDING &&
             clock.Monotonic() < until && !Interrupted()) {
        clock.SleepFor(kLookEvery, {});
        const auto run = client_.GetRun(one.run.run_id());
        if (!run.ok()) return Refuse(run.status());
        one.run = *run;
      }
    }
    return true;
  }

  void Tell() {
    int recorded = 0, known = 0;
    for (const auto& [run, created] : runs_) {
      if (global_.json()) {
        json line = RunJson(run);
        line["created"] = created;
        std::cout << line.dump() << "\n";
      }
      const bool finished = run.state() == pb::Run::STATE_FINISHED;
      if (finished) {
        ++(created ? recorded : known);
        continue;
      }
      const bool waits = created && run.state() == pb::Run::STATE_PENDING;
      if (code_ != kNeedsPerson) code_ = waits ? kNotFinished : kNeedsPerson;
      std::cerr << "dunlin: " << run.migration() << " on " << run.target()
                << (created ? " is not recorded yet: it is "
                            : " had a run there before, so it is left as it is: ")
                << StateName(run.state())
                << (WaitReason(run).empty() ? "" : absl::StrCat(" (", WaitReason(run), ")"))
                << "\n";
    }
    if (!global_.json()) {
      std::cout << recorded << " recorded as done elsewhere"
                << (known > 0 ? absl::StrCat(", ", known, " finished before") : "") << "\n";
    }
  }

  int code() const { return code_; }
  bool empty() const { return runs_.empty(); }

 private:
  struct Recorded {
    pb::Run run;
    bool created;
  };
  bool Refuse(const absl::Status& status) {
    code_ = Complain(status);
    return false;
  }

  Client& client_;
  const GlobalOptions& global_;
  const BaselineOptions& options_;
  std::vector<Recorded> runs_;
  int code_ = kDone;
};

}  // namespace

int RunBaseline(const GlobalOptions& global, const BaselineOptions& options) {
  const auto files = ReadFolder(options.folder);
  if (!files.ok()) return Complain(files.status());
  const std::string through = VersionOf(options.through);
  const bool known = std::any_of(files->begin(), files->end(), [&](const MigrationFile& file) {
    return VersionOf(file.name) == through;
  });
  if (!known) {
    return Complain(absl::InvalidArgumentError(
        absl::StrCat("--through: ", options.folder, " has no migration of version ", through)));
  }
  const auto connection = ConnectToWork(global);
  if (!connection.ok()) return Complain(connection.status());
  InstallInterrupt();
  Baseliner baseliner(*connection->client, global, options);
  for (const MigrationFile& file : *files) {
    if (VersionOf(file.name) > through) break;
    if (!baseliner.Record(file)) return baseliner.code();
  }
  if (baseliner.empty()) {
    return Complain(absl::InvalidArgumentError(
        absl::StrCat("no migration up to ", through, " is for target ", options.target)));
  }
  if (!baseliner.Wait()) return baseliner.code();
  baseliner.Tell();
  return baseliner.code();
}

}  // namespace dunlin::cli
