#include "common/migration/step_parser.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

#include "common/limits.h"
#include "common/migration/identifier.h"

namespace dunlin {
namespace {

using Placeholder = StatementRules::Placeholder;
using Fields = std::map<std::string, YamlField>;

const YamlField* Find(const Fields& fields, const std::string& name) {
  const auto found = fields.find(name);
  return found == fields.end() ? nullptr : &found->second;
}

std::optional<SqlText> ReadSql(const YamlField& field, ProblemList& problems) {
  if (!field.value.IsScalar()) {
    AddWrongType(field, "a text in SQL", problems);
    return std::nullopt;
  }
  std::optional<std::string> sql = ReadText(field, problems);
  if (!sql) return std::nullopt;
  SqlText text{.sql = *std::move(sql)};
  problems.PlaceOf(PlaceInScalar(field.value, 0, problems), text.line, text.column);
  return text;
}

void AddSqlProblem(const YamlField& field, const SqlProblem& problem, ProblemList& problems) {
  problems.AddAt(PlaceInScalar(field.value, problem.offset, problems), field.path, problem.message);
}

void CheckPlaceholder(const YamlField& field, absl::string_view name, Placeholder rule, bool used,
                      ProblemList& problems) {
  if (rule == Placeholder::kRequired && !used) {
    problems.Add(
        field.value.Mark(), field.path,
        absl::StrCat("the statement needs :", name, " or :", name,
                     "(alias) in its WHERE: it is what bounds the statement to the rows of "
                     "one batch"));
  } else if (rule == Placeholder::kForbidden && used) {
    problems.Add(field.value.Mark(), field.path,
                 absl::StrCat(":", name, " cannot stand here: this statement belongs to no batch"));
  }
}

// Columns, as the file writes them; `id` and `ID` are the same one. `where`: of the second, in the
// message.
std::vector<std::string> ReadColumnNames(const std::vector<YamlField>& items,
                                         absl::string_view where, ProblemList& problems) {
  std::vector<std::string> columns, seen;
  for (const YamlField& item : items) {
    const std::optional<std::string> text = ReadText(item, problems);
    if (!text) continue;
    const auto names = ParseIdentifier(*text);
    if (!names.ok()) {
      problems.Add(item.value.Mark(), item.path, std::string(names.status().message()));
    } else if (names->size() != 1) {
      problems.Add(item.value.Mark(), item.path,
                   absl::StrCat("expected the name of a column, found ", Found(item.value)));
    } else if (std::find(seen.begin(), seen.end(), names->front()) != seen.end()) {
      problems.Add(item.value.Mark(), item.path,
                   absl::StrCat("column ", names->front(), " stands twice in ", where));
    } else {
      seen.push_back(names->front());
      columns.push_back(*text);
    }
  }
  return columns;
}

// Where `undo:` stands, and what it may hold there.
class UndoReader {
 public:
  UndoReader(const YamlField& field, bool of_once, bool per_leaf,
             const std::vector<std::string>& parameters, ProblemList& problems)
      : field_(field),
        of_once_(of_once),
        per_leaf_(per_leaf),
        parameters_(parameters),
        problems_(problems) {}

  std::optional<UndoDefinition> Read() {
    if (!field_.value.IsMap()) {
      AddWrongType(field_, Expected(), problems_);
      return std::nullopt;
    }
    const FieldNames names = {.known = of_once_ ? std::vector<std::string>{"once"}
                                                : std::vector<std::string>{"keep", "batch"},
                              .later = {},
                              .top_only = {}};
    const Fields fields = ReadFields(field_.value, field_.path, names, problems_);
    if (fields.size() != 1) {
      problems_.Add(field_.value.Mark(), field_.path, absl::StrCat("expected ", Expected()));
      return std::nullopt;
    }
    UndoDefinition undo;
    if (const YamlField* keep = Find(fields, "keep")) ReadColumns(*keep, undo.keep);
    if (const YamlField* batch = Find(fields, "batch"))
      ReadStatements(*batch, Placeholder::kRequired, undo.batch);
    if (const YamlField* once = Find(fields, "once"))
      ReadStatements(*once, Placeholder::kForbidden, undo.once);
    return undo;
  }

 private:
  std::string Expected() const {
    return of_once_ ? "once: [statements that take the step back]"
                    : "keep: [columns], or batch: [statements that take a batch back]";
  }

  void ReadColumns(const YamlField& field, std::vector<std::string>& columns) {
    const auto items = ReadList(field, "a list of columns, such as [status]", true, problems_);
    if (!items) return;
    if (items->empty() || items->size() > static_cast<size_t>(kMaxKeptColumns)) {
      return problems_.Add(field.value.Mark(), field.path,
                           absl::StrCat("expected 1 to ", kMaxKeptColumns, " columns"));
    }
    columns = ReadColumnNames(*items, "the list", problems_);
  }

  void ReadStatements(const YamlField& field, Placeholder batch, std::vector<SqlText>& out) {
    const auto items = ReadList(field, "a statement or a list of them", true, problems_);
    if (!items) return;
    if (items->empty())
      problems_.Add(field.value.Mark(), field.path, "the list is empty; expected a statement");
    for (const YamlField& item : *items) {
      auto checked =
          ReadStatement(item,
                        {.batch = batch,
                         .table = batch == Placeholder::kForbidden ? batch : Placeholder::kAllowed},
                        parameters_, problems_);
      if (!checked) continue;
      if (per_leaf_ && !checked->parsed.uses_table()) {
        problems_.Add(item.value.Mark(), item.path,
                      "the batch names :table, so this statement, which names the table itself, "
                      "would run once for each leaf partition; write :table here too");
      }
      out.push_back(std::move(checked->text));
    }
  }

  const YamlField& field_;
  const bool of_once_;
  const bool per_leaf_;
  const std::vector<std::string>& parameters_;
  ProblemList& problems_;
};

// Reads the parts of a step that works in batches.
class BatchStepReader {
 public:
  BatchStepReader(const Fields& fields, const YamlField& whole,
                  const std::vector<std::string>& parameters, ProblemList& problems)
      : fields_(fields), whole_(whole), parameters_(parameters), problems_(problems) {}

  StepDefinition Read() {
    ReadTable();
    ReadKey();
    ReadBatch();
    ReadWhere();
    ReadLock();
    ReadVerify();
    CheckTablePlaceholder();
    if (const YamlField* undo = Find(fields_, "undo")) {
      step_.undo =
          UndoReader(*undo, false, step_.uses_table_placeholder, parameters_, problems_).Read();
    }
    return std::move(step_);
  }

 private:
  struct Use {
    const YAML::Node value;
    std::string path;
    bool names_table;
    bool is_batch;
  };

  void ReadTable() {
    const YamlField* field = Find(fields_, "table");
    if (field == nullptr) {
      problems_.Add(whole_.value.Mark(), whole_.path,
                    "table is missing; a part with batch needs the table whose rows it goes over");
      return;
    }
    const std::optional<std::string> text = ReadText(*field, problems_);
    if (!text) return;
    const auto names = ParseIdentifier(*text);
    if (!names.ok()) {
      problems_.Add(field->value.Mark(), field->path, std::string(names.status().message()));
    } else if (names->size() > 2) {
      problems_.Add(field->value.Mark(), field->path,
                    absl::StrCat("expected name or schema.name, found ", Found(field->value)));
    } else {
      step_.table = *text;
    }
  }

  void ReadKey() {
    const YamlField* field = Find(fields_, "key");
    if (field == nullptr) return;
    const auto items = ReadList(*field, "a list of columns, such as [id]", true, problems_);
    if (!items) return;
    if (items->empty() || items->size() > static_cast<size_t>(kMaxKeyColumns)) {
      problems_.Add(field->value.Mark(), field->path,
                    absl::StrCat("expected 1 to ", kMaxKeyColumns,
                                 " columns; leave the field out for the primary key"));
      return;
    }
    step_.key = ReadColumnNames(*items, "the key", problems_);
  }

  std::optional<SqlText> Statement(const YamlField& field, const StatementRules& rules,
                                   bool is_batch) {
    auto checked = ReadStatement(field, rules, parameters_, problems_);
    if (!checked) return std::nullopt;
    uses_.push_back({.value = field.value,
                     .path = field.path,
                     .names_table = checked->parsed.uses_table(),
                     .is_batch = is_batch});
    if (!is_batch && checked->parsed.uses_table() && !checked->parsed.uses_batch()) {
      problems_.Add(field.value.Mark(), field.path,
                    "a statement with :table runs for each shard, so it needs :batch too");
    }
    return std::move(checked->text);
  }

  void ReadBatch() {
    const YamlField* field = Find(fields_, "batch");
    if (field == nullptr) {
      problems_.Add(whole_.value.Mark(), whole_.path,
                    "batch is missing; a part with table needs the statements to run");
      return;
    }
    const auto items = ReadList(*field, "a statement or a list of them", true, problems_);
    if (!items) return;
    if (items->empty()) {
      problems_.Add(field->value.Mark(), field->path, "the list is empty; expected a statement");
    }
    for (const YamlField& item : *items) {
      auto text = Statement(item, {.batch = Placeholder::kRequired}, /*is_batch=*/true);
      if (text) step_.batch.push_back(*std::move(text));
    }
  }

  void ReadWhere() {
    const YamlField* field = Find(fields_, "where");
    if (field == nullptr) return;
    std::optional<SqlText> text = ReadSql(*field, problems_);
    if (!text) return;
    const auto parsed =
        SqlTemplate::ParseOrProblem(text->sql, parameters_, SqlTemplate::Kind::kExpression);
    if (const auto* problem = std::get_if<SqlProblem>(&parsed)) {
      AddSqlProblem(*field, *problem, problems_);
    }
    step_.where = *std::move(text);
  }

  void ReadLock() {
    const YamlField* field = Find(fields_, "lock");
    if (field == nullptr) return;
    if (!field->value.IsSequence()) {
      const bool is_bool = field->value.IsScalar() &&
                           (field->value.Scalar() == "true" || field->value.Scalar() == "false");
      if (!is_bool || field->value.Tag() == "!") {
        AddWrongType(*field, "true, false or a list of SELECTs with :batch", problems_);
      } else {
        step_.lock = field->value.Scalar() == "true";
      }
      return;
    }
    const auto items = ReadList(*field, "a list of SELECTs", false, problems_);
    if (!items) return;
    if (items->empty()) {
      problems_.Add(field->value.Mark(), field->path,
                    "the list is empty; expected SELECTs with :batch, or true or false");
    }
    for (const YamlField& item : *items) {
      auto text = Statement(item, {.batch = Placeholder::kRequired, .only_reads = true}, false);
      if (text) step_.lock_statements.push_back(*std::move(text));
    }
  }

  void ReadVerify() {
    const YamlField* field = Find(fields_, "verify");
    if (field == nullptr) return;
    step_.verify = Statement(*field, {.only_reads = true}, false);
  }

  // Trap 3: with :table there is a shard for each leaf, and a statement on the parent would run for
  // every leaf again.
  void CheckTablePlaceholder() {
    step_.uses_table_placeholder =
        std::any_of(uses_.begin(), uses_.end(), [](const Use& use) { return use.names_table; });
    if (!step_.uses_table_placeholder) return;
    for (const Use& use : uses_) {
      if (!use.is_batch || use.names_table) continue;
      problems_.Add(
          use.value.Mark(), use.path,
          "another statement of this part names :table, so shards are per leaf partition, "
          "and this statement, which names the table itself, would run its rows once for "
          "each leaf; write :table here too, or nowhere");
    }
  }

  const Fields& fields_;
  const YamlField& whole_;
  const std::vector<std::string>& parameters_;
  ProblemList& problems_;
  StepDefinition step_;
  std::vector<Use> uses_;
};

StepDefinition ReadOnceStep(const Fields& fields, const std::vector<std::string>& parameters,
                            ProblemList& problems) {
  StepDefinition step;
  const YamlField& once = fields.at("once");
  for (const std::string& name : StepFieldNames()) {
    const YamlField* other = Find(fields, name);
    if (other == nullptr || name == "once" || name == "undo") continue;
    problems.Add(other->key.Mark(), other->path,
                 absl::StrCat(name,
                              " cannot stand beside once, which runs its statements in one "
                              "transaction and not in batches"));
  }
  const auto items = ReadList(once, "a statement or a list of them", true, problems);
  if (!items) return step;
  if (items->empty()) {
    problems.Add(once.value.Mark(), once.path, "the list is empty; expected a statement");
  }
  for (const YamlField& item : *items) {
    auto checked =
        ReadStatement(item, {.batch = Placeholder::kForbidden, .table = Placeholder::kForbidden},
                      parameters, problems);
    if (checked) step.once.push_back(std::move(checked->text));
  }
  if (const YamlField* undo = Find(fields, "undo"))
    step.undo = UndoReader(*undo, true, false, parameters, problems).Read();
  return step;
}

}  // namespace

const std::vector<std::string>& StepFieldNames() {
  static const auto* const names = new std::vector<std::string>{"table", "key",    "batch", "where",
                                                                "lock",  "verify", "once",  "undo"};
  return *names;
}

std::optional<CheckedStatement> ReadStatement(const YamlField& field, const StatementRules& rules,
                                              const std::vector<std::string>& parameters,
                                              ProblemList& problems) {
  std::optional<SqlText> text = ReadSql(field, problems);
  if (!text) return std::nullopt;
  auto result = SqlTemplate::ParseOrProblem(text->sql, parameters, SqlTemplate::Kind::kStatement);
  if (const auto* problem = std::get_if<SqlProblem>(&result)) {
    AddSqlProblem(field, *problem, problems);
    return std::nullopt;
  }
  CheckedStatement checked{.text = *std::move(text),
                           .parsed = std::get<SqlTemplate>(std::move(result))};
  CheckPlaceholder(field, "batch", rules.batch, checked.parsed.uses_batch(), problems);
  CheckPlaceholder(field, "table", rules.table, checked.parsed.uses_table(), problems);
  if (rules.only_reads && checked.parsed.verb() != "SELECT") {
    problems.Add(field.value.Mark(), field.path,
                 absl::StrCat("expected a SELECT, found ", checked.parsed.verb()));
  } else if (rules.only_reads && checked.parsed.modifies()) {
    problems.Add(field.value.Mark(), field.path,
                 "expected a SELECT that changes nothing; its WITH changes rows");
  }
  return checked;
}

StepDefinition ReadStep(const Fields& fields, const YamlField& whole,
                        const std::vector<std::string>& parameters, ProblemList& problems) {
  if (Find(fields, "once") != nullptr) return ReadOnceStep(fields, parameters, problems);
  return BatchStepReader(fields, whole, parameters, problems).Read();
}

}  // namespace dunlin
