#include "common/migration/parser.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/limits.h"
#include "common/migration/name.h"
#include "common/migration/pressure_parser.h"
#include "common/migration/raw_text.h"
#include "common/migration/step_parser.h"
#include "common/migration/yaml_document.h"
#include "common/migration/yaml_fields.h"
#include "common/text/bytes.h"

namespace dunlin {
namespace {

using Fields = std::map<std::string, YamlField>;

// Below, the fixed cost of a transaction is most of a batch; above, locks are held for longer than
// any application expects. How near it may come to the target's deadlock_timeout is the agent's to
// check.
constexpr absl::Duration kMinBatchTime = absl::Milliseconds(5);
constexpr absl::Duration kMaxBatchTime = absl::Seconds(10);
constexpr int64_t kMaxConcurrency = 256;
constexpr absl::Duration kMaxPause = absl::Hours(1);
// A barrier or a verify that takes a day waits for something that will not come.
constexpr absl::Duration kMinTaskTimeout = absl::Milliseconds(1);
constexpr absl::Duration kMaxTaskTimeout = absl::Hours(24);
constexpr absl::Duration kMaxSoak = absl::Hours(24 * 3650);
// Far more parts than a file that people can review has.
constexpr size_t kMaxSteps = 64;
constexpr size_t kMaxWindows = 32;

const FieldNames& TopFieldNames() {
  static const auto* const names = [] {
    auto* const made =
        new FieldNames{.known = {"description", "owner", "target", "depends_on", "supersedes",
                                 "requires", "idempotent", "critical", "parameters", "limits",
                                 "on_pressure", "windows", "durability", "soak", "labels", "steps"},
                       .later = {"transform", "schemas", "priority"},
                       .top_only = {}};
    made->known.insert(made->known.end(), StepFieldNames().begin(), StepFieldNames().end());
    return made;
  }();
  return *names;
}

FieldNames StepNames() {
  FieldNames names = {.known = StepFieldNames(), .later = TopFieldNames().later, .top_only = {}};
  for (const std::string& name : TopFieldNames().known) {
    const auto& step = StepFieldNames();
    if (std::find(step.begin(), step.end(), name) == step.end()) names.top_only.push_back(name);
  }
  return names;
}

const FieldNames& LimitNames() {
  static const auto* const names = new FieldNames{
      .known = {"batch_time", "concurrency", "rows_per_second", "pause", "wal_bytes_per_second",
                "barrier_timeout", "verify_timeout", "max_quarantined"},
      .later = {"priority"},
      .top_only = {}};
  return *names;
}

class DefinitionReader {
 public:
  DefinitionReader(const YAML::Node& root, ProblemList& problems)
      : root_{.key = YAML::Node(YAML::NodeType::Undefined), .value = root, .path = {}},
        problems_(problems) {}

  Definition Read() {
    fields_ = ReadFields(root_.value, "", TopFieldNames(), problems_);
    if (!root_.value["description"].IsDefined()) {
      problems_.Add(root_.value.Mark(), "description",
                    "is missing; say in a sentence what the migration does");
    }
    With("description", [&](const YamlField& f) { ReadShortText(f, definition_.description); });
    With("owner", [&](const YamlField& f) { ReadShortText(f, definition_.owner); });
    With("target", [&](const YamlField& f) { ReadTargets(f); });
    With("depends_on", [&](const YamlField& f) { ReadDependsOn(f); });
    With("supersedes", [&](const YamlField& f) { ReadSupersedes(f); });
    With("parameters", [&](const YamlField& f) { ReadParameters(f); });
    With("requires", [&](const YamlField& f) { ReadRequires(f); });
    With("idempotent", [&](const YamlField& f) {
      definition_.idempotent = ReadBool(f, problems_).value_or(false);
    });
    With("critical", [&](const YamlField& f) {
      definition_.critical = ReadBool(f, problems_).value_or(false);
    });
    With("limits", [&](const YamlField& f) { ReadLimits(f); });
    With("on_pressure", [&](const YamlField& f) {
      OnPressure read = ReadOnPressure(f, problems_);
      read.limits.merge(definition_.on_pressure.limits);  // what it names itself counts
      definition_.on_pressure = std::move(read);
    });
    With("windows", [&](const YamlField& f) { ReadWindows(f); });
    With("durability", [&](const YamlField& f) { ReadDurability(f); });
    With("soak", [&](const YamlField& f) {
      ReadInto(f, absl::ZeroDuration(), kMaxSoak, definition_.soak);
    });
    With("labels", [&](const YamlField& f) { ReadLabels(f); });
    ReadSteps();
    return std::move(definition_);
  }

 private:
  template <typename Reader>
  void With(const std::string& name, Reader reader) {
    const auto found = fields_.find(name);
    if (found != fields_.end()) reader(found->second);
  }

  void AddAtValue(const YamlField& field, std::string message) {
    problems_.Add(field.value.Mark(), field.path, std::move(message));
  }

  void ReadInto(const YamlField& field, absl::Duration min, absl::Duration max,
                absl::Duration& out) {
    if (const auto duration = ReadDuration(field, min, max, problems_)) out = *duration;
  }

  void ReadShortText(const YamlField& field, std::string& out) {
    std::optional<std::string> text = ReadText(field, problems_);
    if (!text) return;
    if (text->size() > static_cast<size_t>(kMaxReasonBytes)) {
      AddAtValue(field, absl::StrCat("is longer than ", kMaxReasonBytes, " bytes"));
    }
    out = std::string(absl::StripAsciiWhitespace(*text));
  }

  void ReadTargets(const YamlField& field) {
    const auto items = ReadList(field, "a target, or a list of targets", true, problems_);
    if (!items) return;
    if (items->empty() || items->size() > static_cast<size_t>(kMaxTargetsPerMigration)) {
      return AddAtValue(field, absl::StrCat("expected 1 to ", kMaxTargetsPerMigration, " targets"));
    }
    std::vector<std::string>& targets = definition_.targets;
    for (const YamlField& item : *items) {
      const std::optional<std::string> text = ReadText(item, problems_);
      if (!text) continue;
      const bool good = std::all_of(text->begin(), text->end(), [](char c) {
        return absl::ascii_isalnum(c) || absl::StrContains("_-.%*", c);
      });
      if (!good || text->size() > static_cast<size_t>(kMaxNameBytes)) {
        AddAtValue(item,
                   absl::StrCat("expected the name of a target (letters, digits, '_', '-' and '.') "
                                "or a pattern with '*', found ",
                                Found(item.value)));
      } else if (std::find(targets.begin(), targets.end(), *text) != targets.end()) {
        AddAtValue(item, absl::StrCat(*text, " stands twice in the list"));
      } else {
        targets.push_back(*text);
      }
    }
  }

  void ReadSupersedes(const YamlField& field) {
    const std::optional<std::string> text = ReadText(field, problems_);
    if (!text) return;
    const auto name = ParseMigrationName(*text);
    if (!name.ok()) return AddAtValue(field, std::string(name.status().message()));
    definition_.supersedes = *text;
  }

  void ReadDependsOn(const YamlField& field) {
    definition_.has_depends_on = true;
    const auto items = ReadList(field, "a list of names of migrations", false, problems_);
    if (!items) return;
    for (const YamlField& item : *items) {
      const std::optional<std::string> text = ReadText(item, problems_);
      if (!text) continue;
      const auto name = ParseMigrationName(*text);
      auto& names = definition_.depends_on;
      if (!name.ok()) {
        AddAtValue(item, std::string(name.status().message()));
      } else if (std::find(names.begin(), names.end(), *text) != names.end()) {
        AddAtValue(item, absl::StrCat(*text, " stands twice in the list"));
      } else {
        names.push_back(*text);
      }
    }
  }

  void ReadParameters(const YamlField& field) {
    const std::vector<YamlField> items = ReadFreeFields(field, problems_);
    if (items.size() > static_cast<size_t>(kMaxParameters)) {
      AddAtValue(field, absl::StrCat("expected at most ", kMaxParameters, " parameters"));
    }
    for (const YamlField& item : items) {
      const std::string& name = item.key.Scalar();
      const bool good =
          !name.empty() && !absl::ascii_isdigit(name.front()) &&
          name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
      if (!good || name.size() > static_cast<size_t>(kMaxNameBytes)) {
        problems_.Add(item.key.Mark(), item.path,
                      "expected a name of lower-case letters, digits and underscores that does not "
                      "begin with a digit");
      } else if (name == "batch" || name == "table" || name == "started_at") {
        problems_.Add(item.key.Mark(), item.path,
                      absl::StrCat(":", name, " has its own meaning; choose another name"));
      }
      // Declared all the same, so that its uses are no further problems.
      names_.push_back(name);
      definition_.parameters.push_back({.name = name, .type = item.value.Scalar()});
    }
  }

  void ReadRequires(const YamlField& field) {
    const auto items = ReadList(field, "a list of {sql, says}", false, problems_);
    if (!items) return;
    for (const YamlField& item : *items) {
      if (!item.value.IsMap()) {
        AddWrongType(item, "a mapping of sql and says", problems_);
        continue;
      }
      const FieldNames names = {.known = {"sql", "says"}, .later = {}, .top_only = {}};
      const Fields fields = ReadFields(item.value, item.path, names, problems_);
      for (const std::string& name : names.known) {
        if (item.value[name].IsDefined()) continue;
        AddAtValue(item, absl::StrCat(name, " is missing; expected sql and says"));
      }
      if (fields.size() != names.known.size()) continue;
      const StatementRules rules = {.batch = StatementRules::Placeholder::kForbidden,
                                    .table = StatementRules::Placeholder::kForbidden,
                                    .only_reads = true};
      auto sql = ReadStatement(fields.at("sql"), rules, names_, problems_);
      std::string says;
      ReadShortText(fields.at("says"), says);
      if (sql) definition_.requirements.push_back({.sql = std::move(sql->text), .says = says});
    }
  }

  void ReadLimits(const YamlField& field) {
    if (!field.value.IsMap()) return AddWrongType(field, "a mapping of limits", problems_);
    Limits& limits = definition_.limits;
    for (const auto& [name, limit] : ReadFields(field.value, field.path, LimitNames(), problems_)) {
      if (name == "batch_time") ReadInto(limit, kMinBatchTime, kMaxBatchTime, limits.batch_time);
      if (name == "pause") ReadInto(limit, absl::ZeroDuration(), kMaxPause, limits.pause);
      if (name == "barrier_timeout") {
        ReadInto(limit, kMinTaskTimeout, kMaxTaskTimeout, limits.barrier_timeout);
      }
      if (name == "verify_timeout") {
        ReadInto(limit, kMinTaskTimeout, kMaxTaskTimeout, limits.verify_timeout);
      }
      if (name == "concurrency") {
        const auto count = ReadInteger(limit, 1, kMaxConcurrency, problems_);
        if (count) limits.concurrency = static_cast<int>(*count);
      }
      if (name == "rows_per_second") {
        const auto rows = ReadInteger(limit, 1, std::numeric_limits<int64_t>::max(), problems_);
        if (rows) limits.rows_per_second = *rows;
      }
      if (name == "wal_bytes_per_second") {
        const auto text = ReadText(limit, problems_);
        if (!text) continue;
        const auto bytes = ParseBytes(*text);
        if (bytes.ok()) {
          limits.wal_bytes_per_second = *bytes;
        } else {
          AddAtValue(limit, std::string(bytes.status().message()));
        }
      }
      if (name == "max_quarantined") {
        const auto rows = ReadInteger(limit, 0, kMaxQuarantined, problems_);
        if (rows) limits.max_quarantined = *rows;
      }
    }
  }

  void ReadWindows(const YamlField& field) {
    const auto items = ReadList(field, "a window, or a list of windows", true, problems_);
    if (!items) return;
    if (items->empty() || items->size() > kMaxWindows)
      return AddAtValue(field, absl::StrCat("expected 1 to ", kMaxWindows, " windows"));
    for (const YamlField& item : *items) {
      const std::optional<std::string> text = ReadText(item, problems_);
      if (!text) continue;
      auto window = ParseWindow(*text);
      if (window.ok()) {
        definition_.windows.push_back(*std::move(window));
      } else {
        AddAtValue(item, std::string(window.status().message()));
      }
    }
  }

  void ReadDurability(const YamlField& field) {
    const std::string text = field.value.IsScalar() ? field.value.Scalar() : "";
    if (text == "strict") {
      definition_.durability = Durability::kStrict;
    } else if (text == "relaxed") {
      definition_.durability = Durability::kRelaxed;
    } else {
      AddWrongType(field, "strict or relaxed", problems_);
    }
  }

  void ReadLabels(const YamlField& field) {
    const std::vector<YamlField> items = ReadFreeFields(field, problems_);
    if (items.size() > static_cast<size_t>(kMaxLabels)) {
      AddAtValue(field, absl::StrCat("expected at most ", kMaxLabels, " labels"));
    }
    for (const YamlField& item : items) {
      const std::string& name = item.key.Scalar();
      const std::string& value = item.value.Scalar();
      if (name.empty() || name.size() > static_cast<size_t>(kMaxNameBytes) ||
          value.size() > static_cast<size_t>(kMaxNameBytes)) {
        AddAtValue(item,
                   absl::StrCat("expected a name and a text of 1 to ", kMaxNameBytes, " bytes"));
      }
      definition_.labels.emplace(name, value);
    }
  }

  void ReadSteps() {
    std::vector<std::string> beside;
    for (const std::string& name : StepFieldNames()) {
      if (root_.value[name].IsDefined()) beside.push_back(name);
    }
    const bool has_steps = root_.value["steps"].IsDefined();
    if (!has_steps && !beside.empty()) {
      definition_.steps.push_back(ReadStep(fields_, root_, names_, problems_));
    } else if (!has_steps) {
      problems_.Add(root_.value.Mark(), "",
                    "says nothing to do; expected table and batch, or once, or steps");
    } else if (!beside.empty()) {
      With("steps", [&](const YamlField& f) {
        problems_.Add(f.key.Mark(), "steps",
                      absl::StrCat("cannot stand beside ", absl::StrJoin(beside, ", "),
                                   "; move them into a step"));
      });
    } else {
      With("steps", [&](const YamlField& f) { ReadStepList(f); });
    }
  }

  void ReadStepList(const YamlField& field) {
    const auto items = ReadList(field, "a list of steps", false, problems_);
    if (!items) return;
    if (items->empty() || items->size() > kMaxSteps) {
      return AddAtValue(field, absl::StrCat("expected 1 to ", kMaxSteps, " steps"));
    }
    const FieldNames names = StepNames();
    for (const YamlField& item : *items) {
      if (!item.value.IsMap()) {
        AddWrongType(item, "a mapping with table and batch, or once", problems_);
        continue;
      }
      const Fields fields = ReadFields(item.value, item.path, names, problems_);
      definition_.steps.push_back(ReadStep(fields, item, names_, problems_));
    }
  }

  const YamlField root_;
  ProblemList& problems_;
  Fields fields_;
  std::vector<std::string> names_;  // of parameters
  Definition definition_;
};

void ParseInto(Definition& definition, ProblemList& problems) {
  CheckRawText(problems);
  if (!problems.empty()) return;
  const std::optional<YAML::Node> root = LoadDocument(problems);
  if (!root) return;
  if (root->IsNull()) {
    problems.AddForFile("the file is empty; expected a migration, at least description and batch");
  } else if (!root->IsMap()) {
    problems.Add(root->Mark(), "",
                 absl::StrCat("expected fields such as 'description: …', found ", Found(*root)));
  } else {
    definition = DefinitionReader(*root, problems).Read();
  }
}

}  // namespace

std::string FileProblem::ToString() const {
  std::string out = file;
  if (line > 0) absl::StrAppend(&out, ":", line, ":", column);
  if (!field.empty()) absl::StrAppend(&out, ": ", field);
  return absl::StrCat(out, ": ", message);
}

ParseResult ParseMigration(absl::string_view file, absl::string_view text) {
  ParseResult result;
  ProblemList problems(file, text);
  ParseInto(result.definition, problems);
  result.problems = problems.Take();
  return result;
}

absl::StatusOr<Definition> ParseMigrationOrError(absl::string_view file, absl::string_view text) {
  ParseResult result = ParseMigration(file, text);
  if (result.ok()) return std::move(result.definition);
  std::vector<std::string> lines;
  for (const FileProblem& problem : result.problems) lines.push_back(problem.ToString());
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

}  // namespace dunlin
