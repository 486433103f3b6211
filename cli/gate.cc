// `gate`: fails until migrations are finished, so that a deploy can rely on them.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/status_macros.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

using nlohmann::json;

// A target that is asked answers within a heartbeat or two.
constexpr absl::Duration kConfirmTimeout = absl::Seconds(10);
constexpr absl::Duration kConfirmPoll = absl::Milliseconds(250);
constexpr absl::Duration kWaitPoll = absl::Seconds(1);
constexpr absl::Duration kTellEvery = absl::Seconds(30);
// Of more that are finished only the number is told.
constexpr size_t kToldOneByOne = 3;

// What was asked for, and what is known of it.
struct Question {
  pb::CheckGateRequest request;
  std::vector<pb::GateResult> results;  // empty = nobody has answered yet
  int round = 0;                        // in which that was
  bool open() const {
    return !results.empty() &&
           std::all_of(results.begin(), results.end(), [](const pb::GateResult& result) {
             return result.verdict() == pb::GateResult::VERDICT_OPEN;
           });
  }
};

absl::StatusOr<std::vector<MigrationFile>> ReadAll(const std::vector<std::string>& arguments,
                                                   std::vector<std::string>& names) {
  std::vector<MigrationFile> files;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (std::filesystem::is_directory(argument, error)) {
      DUNLIN_ASSIGN_OR_RETURN(std::vector<MigrationFile> found, ReadFolder(argument));
      std::move(found.begin(), found.end(), std::back_inserter(files));
    } else if (absl::EndsWith(argument, ".yaml") || absl::EndsWith(argument, ".yml")) {
      DUNLIN_ASSIGN_OR_RETURN(std::vector<MigrationFile> found, ReadFiles({argument}));
      std::move(found.begin(), found.end(), std::back_inserter(files));
    } else {
      names.push_back(argument);
    }
  }
  return files;
}

absl::StatusOr<std::vector<Question>> MakeQuestions(const GateOptions& options) {
  pb::CheckGateRequest asked;
  if (options.soak == "file") {
    asked.set_soak_from_file(true);
  } else if (!options.soak.empty()) {
    DUNLIN_ASSIGN_OR_RETURN(const absl::Duration soak, ParseDuration(options.soak));
    asked.mutable_soak_duration()->set_seconds(absl::ToInt64Seconds(soak));
  }
  std::vector<std::string> names;
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<MigrationFile> files,
                          ReadAll(options.migrations, names));
  std::vector<Question> questions;
  for (const MigrationFile& file : files) {
    questions.push_back({.request = asked});
    questions.back().request.set_migration(file.name);
    questions.back().request.set_definition(file.bytes);
  }
  for (const std::string& name : names) {
    questions.push_back({.request = asked});
    questions.back().request.set_migration(name);
  }
  return questions;
}

class Gate {
 public:
  Gate(Client& client, const GlobalOptions& global, const GateOptions& options,
       absl::Duration confirmed_within, std::vector<Question> questions)
      : client_(client),
        global_(global),
        options_(options),
        confirmed_within_(confirmed_within),
        questions_(std::move(questions)) {}

  // Asks for all that is not open yet, and once nothing is shut for what was open in an earlier
  // round: somebody may have undone it since.
  absl::Status Ask() {
    ++round_;
    DUNLIN_RETURN_IF_ERROR(AskAbout([](const Question& question) { return !question.open(); }));
    if (Code() != kDone) return absl::OkStatus();
    return AskAbout(
        [this](const Question& question) { return !question.open() || question.round != round_; });
  }

  int Code() const {
    const Counts counts = Count();
    return counts.needs_person > 0 ? kNeedsPerson : counts.shut > 0 ? kNotFinished : kDone;
  }

  // What has changed since it was last told; `all`: everything that is not open.
  void TellProgress(bool all) {
    ForEach([&](const pb::GateResult& result) {
      if (result.verdict() == pb::GateResult::VERDICT_OPEN || result.confirming()) return;
      std::string& said = said_[absl::StrCat(result.run().migration(), "@", result.target())];
      const std::string state = absl::StrCat(result.verdict(), StateName(result.run().state()));
      if (said == state && !all) return;
      said = state;
      std::cerr << "dunlin: " << result.message() << std::endl;
    });
  }

  void TellEnd() const {
    json lines = json::array();
    const Counts counts = Count();
    ForEach([&](const pb::GateResult& result) {
      lines.push_back(ToJson(result));
      if (global_.json()) return;
      if (result.verdict() != pb::GateResult::VERDICT_OPEN) {
        std::cerr << "dunlin: " << result.message() << std::endl;
      } else if (counts.all <= kToldOneByOne) {
        std::cout << result.message() << std::endl;
      }
    });
    if (global_.json()) {
      std::cout << json{{"open", counts.shut == 0}, {"results", lines}}.dump() << "\n";
    } else if (counts.shut > 0 && counts.all > 1) {
      std::cerr << "dunlin: " << Shut(counts) << "\n";
    } else if (counts.all > kToldOneByOne) {
      std::cout << "all " << counts.all << " are " << Wanted() << "\n";
    }
  }

 private:
  // Again for a while where a target is being asked.
  template <typename Which>
  absl::Status AskAbout(Which which) {
    Clock& clock = SystemClock();
    const absl::Duration began = clock.Monotonic();
    while (true) {
      bool confirming = false;
      for (Question& question : questions_) {
        if (!which(question)) continue;
        // What a target said since this began is fresh enough.
        const absl::Duration within = confirmed_within_ + (clock.Monotonic() - began);
        auto* asked = question.request.mutable_confirmed_within_duration();
        asked->set_seconds(absl::ToInt64Seconds(within));
        asked->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(within % absl::Seconds(1))));
        DUNLIN_ASSIGN_OR_RETURN(question.results, client_.CheckGate(question.request));
        question.round = round_;
        for (const pb::GateResult& result : question.results)
          confirming = confirming || result.confirming();
      }
      if (!confirming || clock.Monotonic() > began + kConfirmTimeout || Interrupted())
        return absl::OkStatus();
      clock.SleepFor(kConfirmPoll, {});
    }
  }

  template <typename Do>
  void ForEach(Do body) const {
    for (const Question& question : questions_) {
      for (const pb::GateResult& result : question.results) body(result);
    }
  }
  struct Counts {
    size_t all = 0, shut = 0, needs_person = 0;
  };
  Counts Count() const {
    Counts counts;
    for (const Question& question : questions_) {
      if (!question.results.empty()) continue;
      ++counts.all;
      ++counts.shut;
    }
    ForEach([&](const pb::GateResult& result) {
      ++counts.all;
      if (result.verdict() != pb::GateResult::VERDICT_OPEN) ++counts.shut;
      if (result.verdict() == pb::GateResult::VERDICT_NEEDS_PERSON) ++counts.needs_person;
    });
    return counts;
  }
  std::string Wanted() const { return options_.soak.empty() ? "finished" : "finished and soaked"; }
  // "2 of 3 are not finished, 1 of them needs a person"
  std::string Shut(const Counts& counts) const {
    std::string text = absl::StrCat(counts.shut, " of ", counts.all,
                                    counts.shut == 1 ? " is not " : " are not ", Wanted());
    if (counts.needs_person > 0)
      absl::StrAppend(&text, ", ", counts.needs_person, " of them ",
                      counts.needs_person == 1 ? "needs" : "need", " a person");
    return text;
  }
  static json ToJson(const pb::GateResult& result) {
    static const std::map<pb::GateResult::Verdict, const char*> kWords = {
        {pb::GateResult::VERDICT_OPEN, "OPEN"},
        {pb::GateResult::VERDICT_WAIT, "WAIT"},
        {pb::GateResult::VERDICT_NEEDS_PERSON, "NEEDS_PERSON"}};
    const auto word = kWords.find(result.verdict());
    json out = {{"migration", result.run().migration()},
                {"target", result.target()},
                {"verdict", word == kWords.end() ? "UNSPECIFIED" : word->second},
                {"message", result.message()},
                {"state", result.has_run() ? json(StateName(result.run().state())) : json(nullptr)},
                {"soak_end_time", nullptr}};
    if (result.has_soak_end_time()) out["soak_end_time"] = TimeText(result.soak_end_time());
    return out;
  }

  Client& client_;
  const GlobalOptions& global_;
  const GateOptions& options_;
  const absl::Duration confirmed_within_;
  std::vector<Question> questions_;
  int round_ = 0;
  std::map<std::string, std::string> said_;
};

}  // namespace

int RunGate(const GlobalOptions& global, const GateOptions& options) {
  absl::Duration timeout = absl::InfiniteDuration();
  if (!options.timeout.empty()) {
    const auto parsed = ParseDuration(options.timeout);
    if (!parsed.ok()) return Complain(parsed.status());
    timeout = *parsed;
  }
  const auto within = ParseDuration(options.confirmed_within);
  if (!within.ok()) return Complain(within.status());
  auto questions = MakeQuestions(options);
  if (!questions.ok()) return Complain(questions.status());
  if (questions->empty()) {
    return Complain(absl::InvalidArgumentError(
        absl::StrCat("there is no migration in ", absl::StrJoin(options.migrations, ", "),
                     ", so there is nothing to ask about; is it the right folder?")));
  }
  const auto connection = Connect(global);
  if (!connection.ok()) return Complain(connection.status());
  Gate gate(*connection->client, global, options, *within, *std::move(questions));
  if (options.wait) InstallInterrupt();
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + timeout;
  absl::Duration told_at = clock.Monotonic();
  while (true) {
    const absl::Status asked = gate.Ask();
    // A deploy that waits outlives a coordinator that is replaced.
    const bool away = options.wait && absl::IsUnavailable(asked);
    if (!asked.ok() && !away) return Complain(asked);
    if (away) std::cerr << "dunlin: " << asked.message() << std::endl;
    if (!options.wait || (!away && gate.Code() != kNotFinished)) break;
    if (clock.Monotonic() >= until) {
      std::cerr << "dunlin: waited " << HumanDuration(timeout) << ", as asked (--timeout)\n";
      if (away) return Complain(asked);
      break;
    }
    if (Interrupted()) return kInterrupted;
    const bool due = clock.Monotonic() - told_at >= kTellEvery;
    if (due) told_at = clock.Monotonic();
    if (!global.json() && !away) gate.TellProgress(due);
    clock.SleepFor(std::min(kWaitPoll, until - clock.Monotonic()), {});
  }
  gate.TellEnd();
  return gate.Code();
}

}  // namespace dunlin::cli
