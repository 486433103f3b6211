#include "common/migration/yaml_fields.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/migration/suggestion.h"
#include "common/text/duration.h"

namespace dunlin {
namespace {

// Messages show at most so much of a value.
constexpr size_t kMaxShownBytes = 60;
// More than anybody mends in one go; the rest shows when these are mended.
constexpr size_t kMaxProblems = 100;
// Far more items than a list that people can review has.
constexpr size_t kMaxItems = 1000;

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string Join(const std::string& path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

std::string Cut(absl::string_view text) {
  if (text.size() <= kMaxShownBytes) return std::string(text);
  size_t size = kMaxShownBytes;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return absl::StrCat(text.substr(0, size), "…");
}

// A problem is one line, whatever names and values of the file it quotes.
std::string OneLine(std::string text) {
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return text;
}

void AddUnknown(const YamlField& field, const std::string& name, const FieldNames& names,
                ProblemList& problems) {
  std::string message;
  if (Contains(names.later, name)) {
    message = "not supported yet";
  } else if (Contains(names.top_only, name)) {
    message = "belongs to the top of the file, not into a step";
  } else {
    const std::string suggestion = DidYouMean(name, names.known);
    message = absl::StrCat("unknown field", suggestion);
    if (suggestion.empty()) {
      absl::StrAppend(&message, "; expected one of ", absl::StrJoin(names.known, ", "));
    }
  }
  problems.Add(field.key.Mark(), field.path, std::move(message));
}

// Keys of a mapping, checked to be texts that stand once.
std::vector<YamlField> ReadKeys(const YAML::Node& node, const std::string& path,
                                ProblemList& problems) {
  std::vector<YamlField> fields;
  std::set<std::string> seen;
  for (const auto& pair : node) {
    if (!pair.first.IsScalar()) {
      problems.Add(pair.first.Mark(), path,
                   absl::StrCat("the name of a field must be a text, found ", Found(pair.first)));
      continue;
    }
    const std::string& name = pair.first.Scalar();
    YamlField field = {.key = pair.first, .value = pair.second, .path = Join(path, Cut(name))};
    if (!seen.insert(name).second) {
      problems.Add(pair.first.Mark(), field.path, "stands twice in the same mapping; keep one");
      continue;
    }
    fields.push_back(std::move(field));
  }
  return fields;
}

// The mark of a value that is not there is somewhere behind it.
YAML::Mark MarkOf(const YamlField& field) {
  return field.value.IsNull() && field.key.IsDefined() ? field.key.Mark() : field.value.Mark();
}

}  // namespace

ProblemList::ProblemList(absl::string_view file, absl::string_view text)
    : file_(file), text_(text), line_starts_({0}) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') line_starts_.push_back(i + 1);
  }
}

size_t ProblemList::OffsetOf(const YAML::Mark& mark) const {
  if (mark.line < 0 || mark.column < 0) return 0;
  const size_t line = std::min(static_cast<size_t>(mark.line), line_starts_.size() - 1);
  return std::min(line_starts_[line] + static_cast<size_t>(mark.column), text_.size());
}

void ProblemList::PlaceOf(size_t offset, int& line, int& column) const {
  const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
  line = static_cast<int>(next - line_starts_.begin());
  const size_t start = *std::prev(next);
  column = 1 + static_cast<int>(std::count_if(
                   text_.begin() + static_cast<ptrdiff_t>(start),
                   text_.begin() + static_cast<ptrdiff_t>(std::min(offset, text_.size())),
                   [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void ProblemList::AddAt(size_t offset, absl::string_view field, std::string message) {
  if (problems_.size() >= kMaxProblems) return;
  FileProblem problem = {.file = file_,
                         .line = 0,
                         .column = 0,
                         .field = OneLine(std::string(field)),
                         .message = OneLine(std::move(message))};
  PlaceOf(offset, problem.line, problem.column);
  problems_.push_back(std::move(problem));
}

void ProblemList::Add(const YAML::Mark& mark, absl::string_view field, std::string message) {
  AddAt(OffsetOf(mark), field, std::move(message));
}

void ProblemList::AddForFile(std::string message) {
  problems_.push_back({.file = file_, .field = {}, .message = OneLine(std::move(message))});
}

std::vector<FileProblem> ProblemList::Take() {
  std::stable_sort(problems_.begin(), problems_.end(),
                   [](const FileProblem& a, const FileProblem& b) {
                     return std::pair(a.line, a.column) < std::pair(b.line, b.column);
                   });
  return std::move(problems_);
}

std::string Found(const YAML::Node& node) {
  if (node.IsSequence()) return "a list";
  if (node.IsMap()) return "a mapping";
  if (!node.IsScalar()) return "nothing";
  return absl::StrCat("'", Cut(node.Scalar()), "'");
}

void AddWrongType(const YamlField& field, absl::string_view expected, ProblemList& problems) {
  problems.Add(MarkOf(field), field.path,
               absl::StrCat("expected ", expected, ", found ", Found(field.value)));
}

std::map<std::string, YamlField> ReadFields(const YAML::Node& node, const std::string& path,
                                            const FieldNames& names, ProblemList& problems) {
  std::map<std::string, YamlField> fields;
  for (YamlField& field : ReadKeys(node, path, problems)) {
    const std::string name = field.key.Scalar();
    if (!Contains(names.known, name)) {
      AddUnknown(field, name, names, problems);
    } else if (field.value.IsNull()) {
      problems.Add(field.key.Mark(), field.path, "has no value; give it one or remove the field");
    } else {
      fields.emplace(name, std::move(field));
    }
  }
  return fields;
}

std::vector<YamlField> ReadFreeFields(const YamlField& field, ProblemList& problems) {
  if (!field.value.IsMap()) {
    AddWrongType(field, "a mapping of names to texts", problems);
    return {};
  }
  std::vector<YamlField> fields;
  for (YamlField& item : ReadKeys(field.value, field.path, problems)) {
    if (ReadText(item, problems)) fields.push_back(std::move(item));
  }
  return fields;
}

std::optional<std::string> ReadText(const YamlField& field, ProblemList& problems) {
  if (!field.value.IsScalar()) {
    AddWrongType(field, "a text", problems);
    return std::nullopt;
  }
  const std::string& text = field.value.Scalar();
  if (absl::StripAsciiWhitespace(text).empty()) {
    problems.Add(field.value.Mark(), field.path, "is empty; expected a text");
    return std::nullopt;
  }
  return text;
}

std::optional<bool> ReadBool(const YamlField& field, ProblemList& problems) {
  // Tag "!" = quoted: a text, whatever it says.
  if (field.value.IsScalar() && field.value.Tag() != "!") {
    if (field.value.Scalar() == "true") return true;
    if (field.value.Scalar() == "false") return false;
  }
  AddWrongType(field, "true or false", problems);
  return std::nullopt;
}

std::optional<int64_t> ReadInteger(const YamlField& field, int64_t min, int64_t max,
                                   ProblemList& problems) {
  const std::string bounds = max == std::numeric_limits<int64_t>::max()
                                 ? absl::StrCat("of at least ", min)
                                 : absl::StrCat("from ", min, " to ", max);
  const std::string expected = absl::StrCat("a whole number ", bounds);
  int64_t value = 0;
  const bool digits = field.value.IsScalar() && field.value.Tag() != "!" &&
                      !field.value.Scalar().empty() &&
                      field.value.Scalar().find_first_not_of("0123456789-") == std::string::npos;
  if (!digits || !absl::SimpleAtoi(field.value.Scalar(), &value) || value < min || value > max) {
    AddWrongType(field, expected, problems);
    return std::nullopt;
  }
  return value;
}

std::optional<absl::Duration> ReadDuration(const YamlField& field, absl::Duration min,
                                           absl::Duration max, ProblemList& problems) {
  if (!field.value.IsScalar()) {
    AddWrongType(field, "a duration such as 250ms, 1.5s or 7d", problems);
    return std::nullopt;
  }
  const absl::StatusOr<absl::Duration> duration = ParseDuration(field.value.Scalar());
  if (!duration.ok()) {
    problems.Add(field.value.Mark(), field.path, std::string(duration.status().message()));
    return std::nullopt;
  }
  if (*duration < min || *duration > max) {
    problems.Add(field.value.Mark(), field.path,
                 absl::StrCat("expected a duration from ", dunlin::FormatDuration(min), " to ",
                              dunlin::FormatDuration(max), ", found ", Found(field.value)));
    return std::nullopt;
  }
  return *duration;
}

std::optional<std::vector<YamlField>> ReadList(const YamlField& field, absl::string_view expected,
                                               bool or_one, ProblemList& problems) {
  if (or_one && field.value.IsScalar()) return std::vector<YamlField>{field};
  if (!field.value.IsSequence()) {
    AddWrongType(field, expected, problems);
    return std::nullopt;
  }
  if (field.value.size() > kMaxItems) {
    problems.Add(
        field.value.Mark(), field.path,
        absl::StrCat("expected at most ", kMaxItems, " items, found ", field.value.size()));
    return std::nullopt;
  }
  std::vector<YamlField> items;
  for (const auto& item : field.value) {
    items.push_back({.key = YAML::Node(YAML::NodeType::Undefined),
                     .value = item,
                     .path = absl::StrCat(field.path, "[", items.size(), "]")});
  }
  return items;
}

size_t PlaceInScalar(const YAML::Node& scalar, size_t offset, const ProblemList& problems) {
  const absl::string_view text = problems.text();
  const absl::string_view value = scalar.Scalar();
  size_t at = problems.OffsetOf(scalar.Mark());
  const char style = at < text.size() ? text[at] : ' ';
  if (style == '|' || style == '>') {
    at = std::min(text.find('\n', at), text.size() - 1) + 1;
  } else if (style == '\'' || style == '"') {
    ++at;
  }
  const auto escaped = [&](absl::string_view letters) {
    return style == '"' && at + 1 < text.size() && text[at] == '\\' &&
           letters.find(text[at + 1]) != absl::string_view::npos;
  };
  for (size_t i = 0; i <= std::min(offset, value.size()); ++i) {
    if (i < value.size() && absl::ascii_isspace(static_cast<unsigned char>(value[i]))) continue;
    while (at < text.size()) {
      if (absl::ascii_isspace(static_cast<unsigned char>(text[at]))) {
        ++at;
      } else if (escaped("ntr \t\n")) {
        at += 2;
      } else {
        break;
      }
    }
    if (i >= offset) break;
    const bool doubled = style == '\'' && text.substr(at, 2) == "''";
    at += doubled || escaped("\"\\/") ? 2 : 1;
  }
  return std::min(at, text.size());
}

}  // namespace dunlin
