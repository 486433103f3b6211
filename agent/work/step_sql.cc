#include "agent/work/step_sql.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/ledger/statements.h"
#include "common/status_macros.h"
#include "common/status_util.h"

namespace dunlin::agent {
namespace {

constexpr pg::Oid kTimestamptz = 1184;
constexpr pg::Oid kInt8 = 20;

// "$n" for each key column, in parentheses when there are several: (a, b) > ($1, $2), which uses
// the index (trap 2).
std::string RowOf(const std::vector<std::string>& parts) {
  return parts.size() == 1 ? parts[0] : absl::StrCat("(", absl::StrJoin(parts, ", "), ")");
}

// Keys leave the server as text: the same text that the ledger stores.
std::string KeyAsTextArray(const Relation& relation) {
  return absl::StrCat("ARRAY[",
                      absl::StrJoin(relation.key, ", ",
                                    [](std::string* out, const KeyColumn& column) {
                                      absl::StrAppend(out, column.name_sql, "::text");
                                    }),
                      "]");
}

}  // namespace

absl::Status AtFilePosition(const absl::Status& status, const SqlText& text) {
  if (status.ok() || text.line == 0) return status;
  return Annotate(status,
                  absl::StrCat("the statement at line ", text.line, " of the migration file"));
}

absl::StatusOr<BoundParameters> ResolveParameters(pg::Connection& connection,
                                                  const Definition& definition,
                                                  const std::map<std::string, std::string>& values,
                                                  const std::string& started_at) {
  BoundParameters bound;
  bound.values["started_at"] = started_at;
  bound.types["started_at"] = kTimestamptz;
  for (const ParameterDefinition& parameter : definition.parameters) {
    const auto value = values.find(parameter.name);
    if (value == values.end()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "parameter ", parameter.name, " has no value; start with --set ", parameter.name, "=…"));
    }
    const absl::StatusOr<pg::Result> type = connection.Execute(sql::kTypeOid, {parameter.type});
    if (!type.ok())
      return Annotate(type.status(), absl::StrCat("the type of parameter ", parameter.name));
    bound.values[parameter.name] = value->second;
    bound.types[parameter.name] = static_cast<pg::Oid>(type->Int(0, 0));
  }
  return bound;
}

absl::StatusOr<BoundStatement> StepSql::Render(const SqlTemplate& sql, const std::string& name,
                                               bool has_lower, int first_parameter) const {
  RenderContext context;
  context.first_parameter = first_parameter;
  context.table_sql = relation_.name_sql;
  context.table_qualifier = relation_.qualifier_sql;
  for (const KeyColumn& column : relation_.key) context.key_columns.push_back(column.name_sql);
  context.has_lower = has_lower;
  RenderedSql rendered = sql.Render(context);
  BoundStatement bound;
  bound.statement.name = absl::StrCat(name, has_lower ? "" : "_first");
  bound.statement.sql = std::move(rendered.sql);
  bound.parameters = std::move(rendered.parameters);
  bound.counts = sql.verb() != "SELECT" && !sql.verb().empty();
  for (const ParameterRef& ref : bound.parameters) {
    if (const auto* lower = std::get_if<LowerBound>(&ref)) {
      bound.statement.parameter_types.push_back(
          relation_.key[static_cast<size_t>(lower->column)].type);
    } else if (const auto* upper = std::get_if<UpperBound>(&ref)) {
      bound.statement.parameter_types.push_back(
          relation_.key[static_cast<size_t>(upper->column)].type);
    } else {
      const auto type = parameters_.types.find(std::get<NamedParameter>(ref).name);
      bound.statement.parameter_types.push_back(type == parameters_.types.end() ? 0 : type->second);
    }
  }
  return bound;
}

absl::StatusOr<RangeStatement> StepSql::RenderRange(
    const SqlText& text, const std::string& name, const std::vector<std::string>& declared) const {
  const absl::StatusOr<SqlTemplate> sql = SqlTemplate::Parse(text.sql, declared);
  if (!sql.ok()) return AtFilePosition(sql.status(), text);
  RangeStatement range;
  DUNLIN_ASSIGN_OR_RETURN(range.with_lower, Render(*sql, name, true, 1));
  DUNLIN_ASSIGN_OR_RETURN(range.without_lower, Render(*sql, name, false, 1));
  return range;
}

std::vector<ParameterRef> StepSql::RangeParameters(bool has_lower) const {
  std::vector<ParameterRef> refs;
  const int columns = static_cast<int>(relation_.key.size());
  for (int i = 0; has_lower && i < columns; ++i) refs.push_back(LowerBound{i});
  for (int i = 0; i < columns; ++i) refs.push_back(UpperBound{i});
  return refs;
}

std::string StepSql::RangeSql(bool has_lower) const {
  std::vector<std::string> names, lowers, uppers;
  int next = 1;
  for (const KeyColumn& column : relation_.key) names.push_back(column.name_sql);
  for (size_t i = 0; has_lower && i < names.size(); ++i)
    lowers.push_back(absl::StrCat("$", next++));
  for (size_t i = 0; i < names.size(); ++i) uppers.push_back(absl::StrCat("$", next++));
  const std::string row = RowOf(names);
  return absl::StrCat(has_lower ? absl::StrCat(row, " > ", RowOf(lowers), " AND ") : "", row,
                      " <= ", RowOf(uppers));
}

// The end of the next batch. Without `where`: the n-th row by the index. With it: the n-th matching
// row or the 50,000th row, whichever comes first, so that one look-up reads a bounded part of the
// table. Any key in the range is a correct end: batches are ranges, so rows that come and go
// meanwhile only change its size.
absl::Status StepSql::MakeBoundary(const StepDefinition& step,
                                   const std::vector<std::string>& declared) {
  std::optional<SqlTemplate> where;
  if (step.where) {
    absl::StatusOr<SqlTemplate> parsed = SqlTemplate::ParseExpression(step.where->sql, declared);
    if (!parsed.ok()) return AtFilePosition(parsed.status(), *step.where);
    where = *std::move(parsed);
  }
  has_where_ = where.has_value();
  const std::string keys = KeyList(relation_);
  const std::string from = absl::StrCat(" FROM ", relation_.name_sql, " WHERE ");
  for (const bool has_lower : {true, false}) {
    BoundStatement boundary, count;
    const std::string suffix = has_lower ? "" : "_first";
    boundary.parameters = count.parameters = RangeParameters(has_lower);
    std::string condition;
    if (where) {
      // The expression's own parameters come behind those of the range.
      const int first = static_cast<int>(boundary.parameters.size()) + 1;
      DUNLIN_ASSIGN_OR_RETURN(const BoundStatement rendered,
                              Render(*where, "where", has_lower, first));
      condition = absl::StrCat("(", rendered.statement.sql, ")");
      for (const ParameterRef& ref : rendered.parameters) {
        boundary.parameters.push_back(ref);
        count.parameters.push_back(ref);
      }
    }
    const std::string range = RangeSql(has_lower);
    const std::string rows = absl::StrCat("$", boundary.parameters.size() + 1, "::bigint");
    boundary.statement.name = absl::StrCat("m_boundary", suffix);
    count.statement.name = absl::StrCat("m_count", suffix);
    if (where) {
      boundary.statement.sql =
          absl::StrCat("SELECT k, matched FROM (SELECT ", KeyAsTextArray(relation_),
                       " AS k, count(*) FILTER (WHERE ", condition,
                       ") OVER w AS matched, row_number() OVER w AS looked_at", from, range,
                       " WINDOW w AS (ORDER BY ", keys, " ROWS UNBOUNDED PRECEDING) ORDER BY ",
                       keys, " LIMIT ", kMaxRowsLookedAt, ") s WHERE matched >= ", rows,
                       " OR looked_at >= ", kMaxRowsLookedAt, " LIMIT 1");
      count.statement.sql =
          absl::StrCat("SELECT count(*) FILTER (WHERE ", condition, ")", from, range);
    } else {
      boundary.statement.sql =
          absl::StrCat("SELECT ", KeyAsTextArray(relation_), ", ", rows, from, range, " ORDER BY ",
                       keys, " LIMIT 1 OFFSET ", rows, " - 1");
      count.statement.sql = absl::StrCat("SELECT count(*)", from, range);
    }
    for (BoundStatement* bound : {&boundary, &count}) {
      for (const ParameterRef& ref : bound->parameters) {
        if (const auto* lower = std::get_if<LowerBound>(&ref)) {
          bound->statement.parameter_types.push_back(
              relation_.key[static_cast<size_t>(lower->column)].type);
        } else if (const auto* upper = std::get_if<UpperBound>(&ref)) {
          bound->statement.parameter_types.push_back(
              relation_.key[static_cast<size_t>(upper->column)].type);
        } else {
          bound->statement.parameter_types.push_back(
              parameters_.types.at(std::get<NamedParameter>(ref).name));
        }
      }
    }
    boundary.statement.parameter_types.push_back(kInt8);
    (has_lower ? boundary_.with_lower : boundary_.without_lower) = std::move(boundary);
    (has_lower ? count_.with_lower : count_.without_lower) = std::move(count);
  }
  return absl::OkStatus();
}

absl::StatusOr<StepSql> StepSql::Make(const StepDefinition& step, const Relation& relation,
                                      const std::vector<std::string>& declared,
                                      BoundParameters parameters) {
  StepSql made;
  made.relation_ = relation;
  made.parameters_ = std::move(parameters);
  if (step.lock) {
    RangeStatement lock;
    for (const bool has_lower : {true, false}) {
      BoundStatement bound;
      bound.statement.name = absl::StrCat("m_lock", has_lower ? "" : "_first");
      // Counted inside, so that no row travels.
      bound.statement.sql = absl::StrCat("SELECT count(*) FROM (SELECT 1 FROM ", relation.name_sql,
                                         " WHERE ", made.RangeSql(has_lower), " ORDER BY ",
                                         KeyList(relation), " FOR NO KEY UPDATE) s");
      bound.parameters = made.RangeParameters(has_lower);
      for (const ParameterRef& ref : bound.parameters) {
        const int column = std::holds_alternative<LowerBound>(ref)
                               ? std::get<LowerBound>(ref).column
                               : std::get<UpperBound>(ref).column;
        bound.statement.parameter_types.push_back(relation.key[static_cast<size_t>(column)].type);
      }
      (has_lower ? lock.with_lower : lock.without_lower) = std::move(bound);
    }
    made.locks_.push_back(std::move(lock));
  }
  for (size_t i = 0; i < step.lock_statements.size(); ++i) {
    DUNLIN_ASSIGN_OR_RETURN(
        RangeStatement lock,
        made.RenderRange(step.lock_statements[i], absl::StrCat("m_lock", i), declared));
    made.locks_.push_back(std::move(lock));
  }
  for (size_t i = 0; i < step.batch.size(); ++i) {
    DUNLIN_ASSIGN_OR_RETURN(RangeStatement statement,
                            made.RenderRange(step.batch[i], absl::StrCat("m_batch", i), declared));
    made.batch_.push_back(std::move(statement));
  }
  if (step.verify) {
    const absl::StatusOr<SqlTemplate> sql = SqlTemplate::Parse(step.verify->sql, declared);
    if (!sql.ok()) return AtFilePosition(sql.status(), *step.verify);
    if (sql->uses_batch()) {
      DUNLIN_ASSIGN_OR_RETURN(made.verify_, made.RenderRange(*step.verify, "m_verify", declared));
    } else {
      DUNLIN_ASSIGN_OR_RETURN(made.verify_whole_, made.Render(*sql, "m_verify", true, 1));
    }
  }
  DUNLIN_RETURN_IF_ERROR(made.MakeBoundary(step, declared));
  return made;
}

absl::StatusOr<StepSql> StepSql::MakeOnce(const StepDefinition& step,
                                          const std::vector<std::string>& declared,
                                          BoundParameters parameters) {
  StepSql made;
  made.parameters_ = std::move(parameters);
  for (size_t i = 0; i < step.once.size(); ++i) {
    const absl::StatusOr<SqlTemplate> sql = SqlTemplate::Parse(step.once[i].sql, declared);
    if (!sql.ok()) return AtFilePosition(sql.status(), step.once[i]);
    DUNLIN_ASSIGN_OR_RETURN(BoundStatement bound,
                            made.Render(*sql, absl::StrCat("m_once", i), true, 1));
    made.once_.push_back(std::move(bound));
  }
  return made;
}

std::vector<const BoundStatement*> StepSql::BatchStatements(const OptionalKey& lower) const {
  std::vector<const BoundStatement*> all;
  for (const RangeStatement& lock : locks_) all.push_back(&lock.For(lower));
  for (const RangeStatement& statement : batch_) all.push_back(&statement.For(lower));
  return all;
}

pg::Command StepSql::Bind(const BoundStatement& statement, const OptionalKey& lower,
                          const OptionalKey& upper) const {
  pg::Command command;
  command.statement = statement.statement;
  for (const ParameterRef& ref : statement.parameters) {
    if (const auto* at_lower = std::get_if<LowerBound>(&ref)) {
      command.parameters.push_back(lower->Reveal()[static_cast<size_t>(at_lower->column)]);
    } else if (const auto* at_upper = std::get_if<UpperBound>(&ref)) {
      command.parameters.push_back(upper->Reveal()[static_cast<size_t>(at_upper->column)]);
    } else {
      command.parameters.push_back(parameters_.values.at(std::get<NamedParameter>(ref).name));
    }
  }
  return command;
}

pg::Command StepSql::BoundaryCommand(const OptionalKey& lower, const KeyText& upper,
                                     int64_t rows) const {
  pg::Command command = Bind(boundary_.For(lower), lower, upper);
  command.parameters.push_back(absl::StrCat(rows));
  return command;
}

absl::StatusOr<Boundary> StepSql::DecodeBoundary(const pg::Result& result, const KeyText& upper,
                                                 int64_t rows, bool& rows_exact) const {
  Boundary boundary;
  if (result.rows.empty()) {  // fewer rows are left than were asked for
    boundary.upper = upper;
    boundary.last = true;
    rows_exact = false;
    return boundary;
  }
  std::vector<pg::Value> columns;
  DUNLIN_RETURN_IF_ERROR(pg::DecodeTextArray(result.Text(0, 0), columns));
  std::vector<std::string> texts;
  for (pg::Value& column : columns) {
    if (!column) {
      return absl::FailedPreconditionError(
          absl::StrCat("key ", DescribeKey(relation_), " has a NULL; a key must be NOT NULL"));
    }
    texts.push_back(*std::move(column));
  }
  boundary.upper = KeyText(std::move(texts));
  boundary.rows = has_where_ ? result.Int(0, 1) : rows;
  boundary.last = boundary.upper == upper;
  rows_exact = relation_.key_unique;
  return boundary;
}

pg::Command StepSql::CountCommand(const OptionalKey& lower, const KeyText& upper) const {
  return Bind(count_.For(lower), lower, upper);
}

std::vector<pg::Statement> StepSql::AllStatements() const {
  std::vector<pg::Statement> all;
  const auto add_range = [&](const RangeStatement& range) {
    all.push_back(range.without_lower.statement);
    all.push_back(range.with_lower.statement);
  };
  for (const RangeStatement& lock : locks_) add_range(lock);
  for (const RangeStatement& statement : batch_) add_range(statement);
  if (verify_) add_range(*verify_);
  if (verify_whole_) all.push_back(verify_whole_->statement);
  for (const BoundStatement& statement : once_) all.push_back(statement.statement);
  if (!batch_.empty()) {
    add_range(boundary_);
    add_range(count_);
  }
  return all;
}

}  // namespace dunlin::agent
