#include "common/migration/test_file.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <nlohmann/json.hpp>

#include "common/migration/identifier.h"
#include "common/migration/raw_text.h"
#include "common/migration/yaml_document.h"
#include "common/migration/yaml_fields.h"

namespace dunlin {
namespace {

using Fields = std::map<std::string, YamlField>;

// Deeper than any value of a test; an alias to what is around it would never end.
constexpr int kMaxDepth = 32;

std::string JsonText(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool IsJsonNumber(const std::string& text) {
  const nlohmann::json parsed = nlohmann::json::parse(text, nullptr, false);
  return parsed.is_number();
}

// As YAML's own schema reads it: quoted = a text, whatever it says.
std::string JsonScalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  const bool plain = node.Tag() == "?" || node.Tag().empty();
  if (plain && (text == "true" || text == "false" || IsJsonNumber(text))) return text;
  return JsonText(text);
}

bool AppendJson(const YAML::Node& node, int depth, std::string& out) {
  if (depth > kMaxDepth) return false;
  if (node.IsSequence()) {
    out += '[';
    for (size_t i = 0; i < node.size(); ++i) {
      if (i > 0) out += ',';
      if (!AppendJson(node[i], depth + 1, out)) return false;
    }
    out += ']';
  } else if (node.IsMap()) {
    out += '{';
    bool first = true;
    for (const auto& pair : node) {
      if (!pair.first.IsScalar()) return false;
      absl::StrAppend(&out, first ? "" : ",", JsonText(pair.first.Scalar()), ":");
      first = false;
      if (!AppendJson(pair.second, depth + 1, out)) return false;
    }
    out += '}';
  } else {
    out += node.IsScalar() ? JsonScalar(node) : "null";
  }
  return true;
}

class TestReader {
 public:
  TestReader(const YAML::Node& root, ProblemList& problems) : root_(root), problems_(problems) {}

  TestFile Read() {
    const YamlField whole{.key = YAML::Node(YAML::NodeType::Undefined), .value = root_, .path = {}};
    const Fields fields = ReadFields(
        root_, "",
        {.known = {"schema", "schema_file", "ignore", "parameters", "rows", "expect", "cases"},
         .later = {},
         .top_only = {}},
        problems_);
    ReadTextInto(fields, "schema", test_.schema);
    ReadTextInto(fields, "schema_file", test_.schema_file);
    if (test_.schema.empty() && test_.schema_file.empty() && problems_.empty()) {
      problems_.Add(root_.Mark(), "",
                    "schema is missing; expected `schema:` with the SQL that makes the tables as "
                    "they are before the migration, or `schema_file:` with the path of such SQL");
    }
    if (const auto ignore = fields.find("ignore"); ignore != fields.end())
      ReadIgnore(ignore->second);
    const bool has_cases = fields.contains("cases");
    if (!has_cases) {
      ReadCase(fields, whole, "");
    } else if (fields.contains("rows") || fields.contains("expect")) {
      problems_.Add(fields.at("cases").key.Mark(), "cases",
                    "cannot stand beside rows and expect; move them into a case");
    } else {
      ReadCases(fields.at("cases"), fields);
    }
    return std::move(test_);
  }

 private:
  void ReadTextInto(const Fields& fields, const std::string& name, std::string& out) {
    const auto field = fields.find(name);
    if (field != fields.end()) out = ReadText(field->second, problems_).value_or("");
  }

  void ReadIgnore(const YamlField& field) {
    const auto items =
        ReadList(field, "a list of columns, such as orders.updated_at", true, problems_);
    if (!items) return;
    for (const YamlField& item : *items) {
      const std::optional<std::string> text = ReadText(item, problems_);
      if (!text) continue;
      const auto parts = ParseIdentifier(*text);
      if (!parts.ok() || parts->size() < 2 || parts->size() > 3) {
        AddWrongType(item, "table.column", problems_);
        continue;
      }
      const std::string schema = parts->size() == 3 ? parts->front() : "public";
      test_.ignore.emplace_back(
          absl::StrCat(QuoteIdentifier(schema), ".", QuoteIdentifier((*parts)[parts->size() - 2])),
          parts->back());
    }
  }

  void ReadCases(const YamlField& field, const Fields& top) {
    const auto items = ReadList(field, "a list of cases", false, problems_);
    if (!items) return;
    if (items->empty()) problems_.Add(field.key.Mark(), field.path, "expected at least one case");
    for (const YamlField& item : *items) {
      if (!item.value.IsMap()) {
        AddWrongType(item, "a mapping with name, rows and expect", problems_);
        continue;
      }
      Fields fields = ReadFields(item.value, item.path,
                                 {.known = {"name", "rows", "expect", "parameters"},
                                  .later = {},
                                  .top_only = {"schema", "schema_file", "ignore"}},
                                 problems_);
      std::string name;
      ReadTextInto(fields, "name", name);
      if (const auto all = top.find("parameters"); all != top.end()) fields.insert(*all);
      ReadCase(fields, item, name.empty() ? absl::StrCat("case ", test_.cases.size() + 1) : name);
    }
  }

  void ReadCase(const Fields& fields, const YamlField& whole, const std::string& name) {
    TestCase one{.name = name};
    if (const auto rows = fields.find("rows"); rows != fields.end())
      ReadRows(rows->second, false, one.rows_sql, one.rows);
    if (const auto expect = fields.find("expect"); expect != fields.end()) {
      ReadRows(expect->second, true, one.expect_sql, one.expect);
    } else {
      problems_.Add(whole.value.Mark(), whole.path,
                    "expect is missing; say which rows must be there afterwards, or a query that "
                    "answers what is wrong");
    }
    if (const auto parameters = fields.find("parameters"); parameters != fields.end()) {
      for (const YamlField& item : ReadFreeFields(parameters->second, problems_))
        one.parameters[item.key.Scalar()] = item.value.Scalar();
    }
    test_.cases.push_back(std::move(one));
  }

  void ReadRows(const YamlField& field, bool expected, std::string& sql,
                std::vector<TestTable>& tables) {
    if (field.value.IsScalar()) {
      sql = ReadText(field, problems_).value_or("");
      return;
    }
    if (!field.value.IsMap()) {
      return AddWrongType(field, "tables with their rows, or SQL", problems_);
    }
    if (expected && field.value.size() == 0) {
      return problems_.Add(field.key.Mark(), field.path,
                           "names no table; expected tables with their rows");
    }
    for (const auto& pair : field.value)
      ReadTable(field, pair.first, pair.second, expected, tables);
  }

  void ReadTable(const YamlField& field, const YAML::Node& name, const YAML::Node& rows,
                 bool expected, std::vector<TestTable>& tables) {
    const std::string table = name.IsScalar() ? name.Scalar() : "";
    const YamlField item{.key = name, .value = rows, .path = absl::StrCat(field.path, ".", table)};
    const auto parts = ParseIdentifier(table);
    if (!parts.ok() || parts->size() > 2) {
      return problems_.Add(name.Mark(), item.path, "expected the name of a table");
    }
    TestTable read{.table = table};
    int column = 0;
    problems_.PlaceOf(problems_.OffsetOf(name.Mark()), read.line, column);
    if (rows.IsNull()) {
      return problems_.Add(name.Mark(), item.path, "has no rows; write [] for a table without any");
    }
    const auto list = ReadList(item, "a list of rows, such as - {id: 1}", false, problems_);
    if (!list) return;
    for (const YamlField& row : *list) ReadRow(row, read);
    if (expected) CheckColumns(item, read);
    tables.push_back(std::move(read));
  }

  void ReadRow(const YamlField& field, TestTable& table) {
    if (!field.value.IsMap() || field.value.size() == 0) {
      return AddWrongType(field, "a row, such as {id: 1, name: Ann}", problems_);
    }
    TestRow row;
    int column = 0;
    problems_.PlaceOf(problems_.OffsetOf(field.value.Mark()), row.line, column);
    std::set<std::string> seen;
    for (const auto& pair : field.value) {
      const std::string name = pair.first.IsScalar() ? pair.first.Scalar() : "";
      if (name.empty() || !seen.insert(name).second) {
        return problems_.Add(pair.first.Mark(), field.path,
                             name.empty() ? "expected the name of a column"
                                          : absl::StrCat("column ", name, " stands twice"));
      }
      row.columns.push_back(name);
    }
    if (!AppendJson(field.value, 0, row.json)) {
      return problems_.Add(field.value.Mark(), field.path, "is nested too deep");
    }
    table.rows.push_back(std::move(row));
  }

  // Only what a row names is compared, so a name left out by mistake would pass unseen.
  void CheckColumns(const YamlField& field, const TestTable& table) {
    if (table.rows.empty()) return;
    const std::vector<std::string>& first = table.rows.front().columns;
    const std::set<std::string> names(first.begin(), first.end());
    for (const TestRow& row : table.rows) {
      if (std::set<std::string>(row.columns.begin(), row.columns.end()) == names) continue;
      problems_.AddAt(
          problems_.OffsetOf(field.key.Mark()), field.path,
          absl::StrCat("the row at line ", row.line,
                       " names other columns than the "
                       "first (",
                       absl::StrJoin(first, ", "), "); all rows of a table name the same ones"));
      return;
    }
  }

  const YAML::Node root_;
  ProblemList& problems_;
  TestFile test_;
};

}  // namespace

TestFileResult ParseTestFile(absl::string_view file, absl::string_view text) {
  TestFileResult result;
  ProblemList problems(file, text);
  CheckRawText(problems);
  if (problems.empty()) {
    const std::optional<YAML::Node> root = LoadDocument(problems);
    if (root && root->IsMap()) {
      result.test = TestReader(*root, problems).Read();
    } else if (problems.empty()) {
      problems.AddForFile("expected a test: schema, rows and expect");
    }
  }
  result.problems = problems.Take();
  return result;
}

std::string WithoutTopFields(absl::string_view text, const std::vector<std::string>& names) {
  ProblemList problems("", text);
  const std::optional<YAML::Node> root = LoadDocument(problems);
  std::string out(text);
  if (!root || !root->IsMap()) return out;
  std::vector<std::pair<size_t, bool>> begins;  // of each field, and whether it goes
  for (const auto& pair : *root) {
    const bool goes = pair.first.IsScalar() &&
                      std::find(names.begin(), names.end(), pair.first.Scalar()) != names.end();
    begins.emplace_back(problems.OffsetOf(pair.first.Mark()), goes);
  }
  std::sort(begins.begin(), begins.end());
  begins.emplace_back(text.size(), false);
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    if (!begins[i].second) continue;
    for (size_t at = begins[i].first; at < begins[i + 1].first; ++at) {
      if (out[at] != '\n') out[at] = ' ';
    }
  }
  // In a file that is one {flow} mapping this breaks it: then it stays as it is.
  return ParseMigration("", out).ok() ? out : std::string(text);
}

}  // namespace dunlin
