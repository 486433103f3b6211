// `start` and `up`: files become runs, one for each target.
#include <algorithm>
#include <iostream>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/schema_wait.h"
#include "cli/watch.h"
#include <nlohmann/json.hpp>

#include "common/status_util.h"

namespace dunlin::cli {
namespace {

using nlohmann::json;

// What became of one file on one target.
struct Outcome {
  enum class Kind { kStarted, kInWork, kFinished, kSuperseded, kNeedsPerson, kFailed };
  Kind kind = Kind::kFailed;
  int code = kDone;
};

class Starter {
 public:
  // `quiet`: what is finished already is only counted.
  Starter(Client& client, const GlobalOptions& global, const StartOptions& options,
          std::string reach, bool quiet)
      : client_(client),
        global_(global),
        options_(options),
        reach_(std::move(reach)),
        quiet_(quiet) {}

  void Start(const MigrationFile& file, const std::vector<std::string>& all_files) {
    const auto targets = client_.ResolveTargets(file.name, file.bytes);
    if (!targets.ok()) return Refuse(file, "", targets.status());
    for (const std::string& target : *targets) {
      targets_.insert(target);
      StartOn(file, target, targets->size() > 1, all_files);
    }
  }

  void Superseded(const MigrationFile& file, const std::string& by) {
    Count(Outcome::Kind::kSuperseded, kDone);
    if (!global_.json() && !quiet_)
      std::cout << file.name << " is not started: " << by << " stands in for it" << std::endl;
  }

  // "3 started, 1 in work, 12 finished already"
  std::string Summary() const {
    static const std::vector<std::pair<Outcome::Kind, std::string>> kWords = {
        {Outcome::Kind::kStarted, options_.dry_run ? "would start" : "started"},
        {Outcome::Kind::kInWork, "in work already"},
        {Outcome::Kind::kFinished, "finished already"},
        {Outcome::Kind::kSuperseded, "superseded"},
        {Outcome::Kind::kNeedsPerson, "in need of a person"},
        {Outcome::Kind::kFailed, "refused"}};
    std::vector<std::string> parts;
    for (const auto& [kind, word] : kWords) {
      const auto count = counts_.find(kind);
      if (count != counts_.end()) parts.push_back(absl::StrCat(count->second, " ", word));
    }
    return parts.empty() ? "nothing to do" : absl::StrJoin(parts, ", ");
  }

  // What Start() found to be started; in its order.
  void Finish(const std::vector<std::string>& all_files) {
    const auto in_the_way = LookForSchemaMigrations();
    for (const Wanted& wanted : wanted_) {
      const std::string& target = wanted.request.target();
      if (const auto lock = in_the_way.find(target); lock != in_the_way.end()) {
        Refuse(
            *wanted.file, target,
            SchemaMigrationInTheWay(wanted.file->name, target, lock->second, options_.schema_wait));
        continue;
      }
      const auto started = client_.StartRun(wanted.request);
      if (!started.ok()) {
        Refuse(*wanted.file, target, started.status());
      } else {
        Tell(*wanted.file, wanted.name, *started, all_files);
      }
    }
    wanted_.clear();
  }

  int code() const { return code_; }
  const std::set<std::string>& targets() const { return targets_; }
  const std::vector<std::string>& live() const { return live_; }

 private:
  std::map<std::string, std::string> LookForSchemaMigrations() {
    const auto wait = ParseSchemaWait(options_.schema_wait);
    if (!wait.ok() || !*wait || wanted_.empty()) return {};
    TablesByTarget tables;
    for (const Wanted& wanted : wanted_) {
      std::set<std::string>& of_target = tables[wanted.request.target()];
      for (const StepDefinition& step : wanted.file->definition.steps) {
        if (!step.is_once()) of_target.insert(step.table);
      }
    }
    return WaitForSchemaMigrations(client_, global_, tables, **wait);
  }

  void Count(Outcome::Kind kind, int code) {
    ++counts_[kind];
    code_ = std::max(code_, code);
  }

  void Refuse(const MigrationFile& file, const std::string& target, const absl::Status& status) {
    if (global_.json()) {
      std::cout << json{{"migration", file.name},
                        {"target", target},
                        {"error", std::string(status.message())},
                        {"error_reason", ReasonOf(status)}}
                       .dump()
                << std::endl;
    }
    Count(Outcome::Kind::kFailed, Complain(status));
  }

  // A new run to be made, as soon as no schema migration is at work there.
  struct Wanted {
    const MigrationFile* file;
    std::string name;  // for people: with the target, where there are several
    pb::StartRunRequest request;
  };

  void StartOn(const MigrationFile& file, const std::string& target, bool several,
               const std::vector<std::string>& all_files) {
    auto request = MakeCommand<pb::StartRunRequest>(global_, options_.reason);
    request.set_migration(file.name);
    request.set_definition(file.bytes);
    request.set_target(target);
    request.set_dry_run(true);
    request.set_has_test(file.has_test);
    for (const auto& [name, value] : options_.parameters) {
      const auto& declared = file.definition.parameters;
      const bool known =
          std::any_of(declared.begin(), declared.end(),
                      [&, wanted = name](const auto& one) { return one.name == wanted; });
      // `up` has values for several files; each takes its own.
      if (known || !quiet_) (*request.mutable_parameters())[name] = value;
    }
    request.set_stop_after_rows(options_.stop_after_rows);
    request.set_priority(options_.priority);
    if (!options_.at.empty()) {
      const auto at = ParseStartTime(options_.at, absl::Now(), absl::LocalTimeZone());
      if (!at.ok()) return Refuse(file, target, at.status());
      request.mutable_not_before_time()->set_seconds(absl::ToUnixSeconds(*at));
    }
    const auto would = client_.StartRun(request);
    if (!would.ok()) return Refuse(file, target, would.status());
    const std::string name = several ? absl::StrCat(file.name, "@", target) : file.name;
    if (options_.dry_run || !would->created()) return Tell(file, name, *would, all_files);
    request.set_dry_run(false);
    wanted_.push_back({.file = &file, .name = name, .request = std::move(request)});
  }

  void Tell(const MigrationFile& file, const std::string& name, const pb::StartRunResponse& started,
            const std::vector<std::string>& all_files) {
    const pb::Run& run = started.run();
    const ExitCode code = ExitCodeOf(run.state());
    const bool superseded = !run.superseded_by().empty();
    const bool undo = run.kind() == pb::Run::KIND_UNDO;
    if (code == kNotFinished && !undo && !options_.dry_run) live_.push_back(run.run_id());
    if (global_.json()) {
      json line = RunJson(run);
      line["created"] = started.created();
      std::cout << line.dump() << std::endl;
    }
    std::string text;
    if (started.created()) {
      Count(Outcome::Kind::kStarted, kDone);
      text = options_.dry_run ? DryText(file, run, all_files)
                              : absl::StrCat(" started on ", run.target(),
                                             options_.in_process ? "" : WaitText(run),
                                             ". Follow it: dunlin watch ", name, reach_);
    } else if (undo) {
      Count(Outcome::Kind::kNeedsPerson, kNeedsPerson);
      std::cerr << "dunlin: " << run.migration()
                << (code == kDone ? " was undone on " : " is being undone on ") << run.target()
                << ", so it is not started"
                << (code == kDone
                        ? absl::StrCat(". To run it again: dunlin ", NextCommand(run, name), reach_)
                        : WaitText(run))
                << std::endl;
      return;
    } else if (code == kDone || superseded) {
      Count(superseded ? Outcome::Kind::kSuperseded : Outcome::Kind::kFinished, kDone);
      if (quiet_) return;
      text = superseded ? absl::StrCat(" is over on ", run.target(), ": ", run.superseded_by(),
                                       " stands in for it")
                        : absl::StrCat(" is finished on ", run.target(), " already, since ",
                                       TimeText(run.finish_time()));
    } else if (code == kNotFinished) {
      Count(Outcome::Kind::kInWork, kDone);
      text = absl::StrCat(" is ", StateName(run.state()), " on ", run.target(), " already",
                          WaitText(run));
    } else {
      Count(Outcome::Kind::kNeedsPerson, kNeedsPerson);
      std::cerr << "dunlin: " << run.migration() << " is " << StateName(run.state()) << " on "
                << run.target() << WaitText(run) << ". Go on with: dunlin "
                << NextCommand(run, name) << reach_ << std::endl;
      return;
    }
    if (!global_.json()) std::cout << run.migration() << text << std::endl;
  }

  static std::string WaitText(const pb::Run& run) {
    const std::string reason = WaitReason(run);
    return reason.empty() ? "" : absl::StrCat(" (", reason, ")");
  }

  // When it would begin, by the files at hand.
  std::string DryText(const MigrationFile& file, const pb::Run& run,
                      const std::vector<std::string>& all_files) const {
    std::string after = "at once";
    if (file.definition.has_depends_on) {
      if (!file.definition.depends_on.empty())
        after = absl::StrCat("after ", absl::StrJoin(file.definition.depends_on, ", "));
    } else {
      const auto at = std::find(all_files.begin(), all_files.end(), file.name);
      if (at != all_files.begin() && at != all_files.end())
        after = absl::StrCat("after ", *std::prev(at), " and all before it");
    }
    return absl::StrCat(" would start on ", run.target(), ", ", after);
  }

  Client& client_;
  const GlobalOptions& global_;
  const StartOptions& options_;
  const std::string reach_;
  const bool quiet_;
  std::map<Outcome::Kind, int> counts_;
  int code_ = kDone;
  std::set<std::string> targets_;
  std::vector<Wanted> wanted_;
  std::vector<std::string> live_;
};

// Shows the runs until they end, when asked to.
int MaybeWait(Client& client, const GlobalOptions& global, const StartOptions& options,
              const std::vector<std::string>& live, int code) {
  if (!options.wait || live.empty()) return code;
  InstallInterrupt();
  const int watched = WatchRuns(client, live, {.json = global.json()});
  if (watched == kInterrupted)
    std::cerr << "dunlin: detached; the runs go on. See them again: dunlin watch" << Reach(global)
              << "\n";
  return std::max(code, watched);
}

// What ran on these targets and has no file any more; what waits for something that nobody has.
void TellWhatIsMissing(const GlobalOptions& global, const std::vector<MigrationFile>& files,
                       const std::set<std::string>& targets, const std::vector<pb::Run>& runs) {
  std::set<std::string> names, known, told;
  for (const MigrationFile& file : files) names.insert(file.name);
  std::vector<std::string> vanished;
  for (const pb::Run& run : runs) {
    known.insert(run.migration());
    if (names.contains(run.migration()) || !targets.contains(run.target()) ||
        !told.insert(run.migration()).second)
      continue;
    vanished.push_back(run.state() == pb::Run::STATE_FINISHED
                           ? run.migration()
                           : absl::StrCat(run.migration(), " (", StateName(run.state()), ")"));
  }
  std::sort(vanished.begin(), vanished.end());
  if (global.json()) {
    std::cout << json{{"vanished", vanished}}.dump() << std::endl;
  } else if (!vanished.empty()) {
    constexpr size_t kShown = 10;
    const size_t shown = std::min(kShown, vanished.size());
    std::cerr << "dunlin: " << vanished.size()
              << " migrations have a run on these targets and no file here: "
              << absl::StrJoin(vanished.begin(), vanished.begin() + static_cast<int64_t>(shown),
                               ", ")
              << (vanished.size() > shown ? ", … (all: dunlin list)" : "")
              << ". If they are another application's, all is well; else put the files back, since "
                 "new databases need them\n";
  }
  for (const MigrationFile& file : files) {
    for (const std::string& name : file.definition.depends_on) {
      if (names.contains(name) || known.contains(name)) continue;
      std::cerr << "dunlin: " << file.name << " depends on " << name
                << ", which has no file here and was never started: it waits until that is "
                   "finished\n";
    }
  }
}

}  // namespace

int StartFiles(Client& client, const GlobalOptions& global, const StartOptions& options,
               const std::vector<MigrationFile>& files, const std::string& how_to_reach,
               std::vector<std::string>& live) {
  Starter starter(client, global, options, how_to_reach, false);
  std::vector<std::string> names;
  for (const MigrationFile& file : files) names.push_back(file.name);
  for (const MigrationFile& file : files) starter.Start(file, names);
  starter.Finish(names);
  live = starter.live();
  return starter.code();
}

int RunStart(const GlobalOptions& global, const StartOptions& options) {
  if (const auto wait = ParseSchemaWait(options.schema_wait); !wait.ok())
    return Complain(wait.status());
  const auto files = ReadFiles(options.files);
  if (!files.ok()) return Complain(files.status());
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  std::vector<std::string> live;
  const int code = StartFiles(*connection->client, global, options, *files, Reach(global), live);
  return MaybeWait(*connection->client, global, options, live, code);
}

int RunUp(const GlobalOptions& global, const std::string& folder, const StartOptions& options) {
  if (const auto wait = ParseSchemaWait(options.schema_wait); !wait.ok())
    return Complain(wait.status());
  const auto files = ReadFolder(folder);
  if (!files.ok()) return Complain(files.status());
  if (const std::string circle = FindCircle(*files); !circle.empty())
    return Complain(absl::InvalidArgumentError(circle));
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  Client& client = *connection->client;
  Starter starter(client, global, options, Reach(global), true);
  std::vector<std::string> names;
  for (const MigrationFile& file : *files) names.push_back(file.name);
  for (const MigrationFile& file : *files) {
    const MigrationFile* stand_in = FindStandIn(*files, file.name);
    if (stand_in != nullptr) {
      starter.Superseded(file, stand_in->name);
    } else {
      starter.Start(file, names);
    }
  }
  starter.Finish(names);
  if (!global.json()) {
    std::cout << (files->empty() ? absl::StrCat("no migrations in ", folder) : starter.Summary())
              << std::endl;
  }
  const auto runs = client.ListRuns(false);
  if (!runs.ok()) return Complain(runs.status());
  TellWhatIsMissing(global, *files, starter.targets(), *runs);
  return MaybeWait(client, global, options, starter.live(), starter.code());
}

}  // namespace dunlin::cli
