// Reading YAML nodes field by field, with a problem for each thing that is not as expected. Only
// the parser's own files include this: nobody else sees yaml-cpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include <yaml-cpp/yaml.h>

#include "common/migration/parser.h"

namespace dunlin {

// The text of a file and the problems found in it, the first hundred at most.
class ProblemList {
 public:
  // `text` is borrowed.
  ProblemList(absl::string_view file, absl::string_view text);

  void Add(const YAML::Mark& mark, absl::string_view field, std::string message);
  // `offset` in bytes into the text.
  void AddAt(size_t offset, absl::string_view field, std::string message);
  void AddForFile(std::string message);
  bool empty() const { return problems_.empty(); }
  // In the order of the file.
  std::vector<FileProblem> Take();

  absl::string_view text() const { return text_; }
  // Byte offset of a mark; the beginning of the file when the mark says nothing.
  size_t OffsetOf(const YAML::Mark& mark) const;
  // 1-based; columns count characters.
  void PlaceOf(size_t offset, int& line, int& column) const;

 private:
  const std::string file_;
  const absl::string_view text_;
  std::vector<size_t> line_starts_;
  std::vector<FileProblem> problems_;
};

struct YamlField {
  YAML::Node key;
  YAML::Node value;
  std::string path;  // dotted, from the top of the file
};

// The fields that a mapping may have. `later` = the design has them, this version does not.
struct FieldNames {
  std::vector<std::string> known;
  std::vector<std::string> later;
  std::vector<std::string> top_only;  // for steps: belong to the top of the file
};

// The known fields of a mapping, by name; unknown, repeated and empty ones become problems. `path`
// empty = the top.
std::map<std::string, YamlField> ReadFields(const YAML::Node& node, const std::string& path,
                                            const FieldNames& names, ProblemList& problems);
// A mapping whose keys are free: in the file's order; repeated keys and values that are no text
// become problems.
std::vector<YamlField> ReadFreeFields(const YamlField& field, ProblemList& problems);

// Each answers nothing when it has added a problem.
std::optional<std::string> ReadText(const YamlField& field, ProblemList& problems);
std::optional<bool> ReadBool(const YamlField& field, ProblemList& problems);
std::optional<int64_t> ReadInteger(const YamlField& field, int64_t min, int64_t max,
                                   ProblemList& problems);
std::optional<absl::Duration> ReadDuration(const YamlField& field, absl::Duration min,
                                           absl::Duration max, ProblemList& problems);
// The items of a list, as fields `path[0]` …; `expected` says what it is a list of. With `or_one` a
// single text counts as a list of one, with the field's own path.
std::optional<std::vector<YamlField>> ReadList(const YamlField& field, absl::string_view expected,
                                               bool or_one, ProblemList& problems);

// For messages: "a list", "a mapping", "nothing", or the text in quotes, cut short.
std::string Found(const YAML::Node& node);
void AddWrongType(const YamlField& field, absl::string_view expected, ProblemList& problems);

// Where the character at `offset` of a scalar's value stands in the file, as a byte offset. Exact
// for plain, block (|, >) and single-quoted scalars, which keep every character but white space; in
// double-quoted ones escapes other than \n, \t, \" and \\ shift it by a few columns.
size_t PlaceInScalar(const YAML::Node& scalar, size_t offset, const ProblemList& problems);

}  // namespace dunlin
