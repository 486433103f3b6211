#include "agent/work/step_sql.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "agent/ledger/statements.h"
#include "common/status_macros.h"
#include "common/status_util.h"

namespace dunlin::agent {
namespace {

constexpr pg::Oid kTimestamptz = 1184;
constexpr pg::Oid kInt8 = 20;

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

std::string PlainStatementName(absl::string_view name) {
  absl::ConsumePrefix(&name, "m_");
  const auto numbered = [&name](const char* kind) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(name, absl::MaxSplits('_', 1));
    int number = 0;
    return absl::SimpleAtoi(parts.first, &number) ? absl::StrCat(kind, " statement ", number + 1)
                                                  : std::string(kind);
  };
  for (const char* kind : {"batch", "once", "lock"}) {
    if (absl::ConsumePrefix(&name, kind)) return numbered(kind);
  }
  if (absl::ConsumePrefix(&name, "verify")) return "verify";
  if (absl::ConsumePrefix(&name, "remember")) return "the statement that locks rows for undo";
  if (absl::ConsumePrefix(&name, "keep")) return "the statement that keeps before-images";
  if (absl::ConsumePrefix(&name, "restore")) return "the statement that restores before-images";
  // The ends of batches and the estimates: what a file can get wrong in them is `where`.
  return "where";
}

const BoundStatement& RangeStatement::For(const OptionalKey& lower, const KeyText& upper) const {
  if (!lower) return first;
  const std::vector<std::string>& from = lower->Reveal();
  const std::vector<std::string>& to = upper.Reveal();
  size_t common = 0;
  // Equal texts are equal values; the other way round need not hold, and does not matter here.
  while (common + 1 < by_common.size() && from[common] == to[common]) ++common;
  return by_common[common];
}

pg::Oid StepSql::TypeOf(const ParameterRef& ref) const {
  if (const auto* lower = std::get_if<LowerBound>(&ref))
    return relation_.key[static_cast<size_t>(lower->column)].type;
  if (const auto* upper = std::get_if<UpperBound>(&ref))
    return relation_.key[static_cast<size_t>(upper->column)].type;
  const auto type = parameters_.types.find(std::get<NamedParameter>(ref).name);
  return type == parameters_.types.end() ? 0 : type->second;
}

BoundStatement StepSql::Render(const SqlTemplate& sql, const std::string& name, KeyRangeShape shape,
                               int first_parameter) const {
  RenderContext context;
  context.first_parameter = first_parameter;
  context.table_sql = relation_.name_sql;
  context.table_qualifier = relation_.qualifier_sql;
  for (const KeyColumn& column : relation_.key) context.key_columns.push_back(column.name_sql);
  context.range = shape;
  RenderedSql rendered = sql.Render(context);
  BoundStatement bound;
  bound.statement.name = name;
  bound.statement.sql = std::move(rendered.sql);
  bound.parameters = std::move(rendered.parameters);
  bound.counts = sql.verb() != "SELECT" && !sql.verb().empty();
  for (const ParameterRef& ref : bound.parameters)
    bound.statement.parameter_types.push_back(TypeOf(ref));
  return bound;
}

template <typename MakeOne>
RangeStatement StepSql::EachShape(const MakeOne& make) const {
  RangeStatement range;
  range.first = make(KeyRangeShape{.has_lower = false}, "_first");
  for (int common = 0; common < static_cast<int>(relation_.key.size()); ++common) {
    range.by_common.push_back(
        make(KeyRangeShape{.common = common}, common == 0 ? "" : absl::StrCat("_in", common)));
  }
  range.one_key = make(KeyRangeShape{.one_key = true}, "_key");
  return range;
}

absl::StatusOr<RangeStatement> StepSql::RenderRange(
    const SqlText& text, const std::string& name, const std::vector<std::string>& declared) const {
  const absl::StatusOr<SqlTemplate> sql = SqlTemplate::Parse(text.sql, declared);
  if (!sql.ok()) return AtFilePosition(sql.status(), text);
  return EachShape([&](KeyRangeShape shape, const std::string& suffix) {
    return Render(*sql, absl::StrCat(name, suffix), shape);
  });
}

RangeStatement StepSql::MakeRange(const std::string& name, const TextOf& text,
                                  const std::vector<ParameterRef>& more) const {
  std::vector<std::string> columns;
  for (const KeyColumn& column : relation_.key) columns.push_back(column.name_sql);
  return EachShape([&](KeyRangeShape shape, const std::string& suffix) {
    BoundStatement bound;
    const std::string range = KeyRangeSql(columns, shape, [&](const ParameterRef& ref) {
      const auto found = std::find(bound.parameters.begin(), bound.parameters.end(), ref);
      const auto index = found - bound.parameters.begin();
      if (found == bound.parameters.end()) bound.parameters.push_back(ref);
      return absl::StrCat("$", index + 1);
    });
    bound.statement.name = absl::StrCat(name, suffix);
    bound.statement.sql = text(range, static_cast<int>(bound.parameters.size()));
    bound.parameters.insert(bound.parameters.end(), more.begin(), more.end());
    for (const ParameterRef& ref : bound.parameters)
      bound.statement.parameter_types.push_back(TypeOf(ref));
    return bound;
  });
}

// The end of the next batch: without `where` the n-th row behind the cursor by the index; with it
// the n-th matching row or the 50,000th row, whichever comes first, so that one look-up reads a
// bounded part of the table. Any key in the range is a correct end: batches are ranges, so rows
// that come and go meanwhile only change its size. Whether it lies in the shard is asked of the one
// row found: as a bound of the scan, a shard's upper inside a large group of equal first columns
// would be read up to the end of the group (see KeyRangeSql).
BoundStatement StepSql::BoundaryFor(bool has_lower, const SqlTemplate* where,
                                    const std::string& name) const {
  BoundStatement bound;
  std::vector<std::string> names, aliases, lowers, uppers, selected;
  const auto next = [&](const ParameterRef& ref) {
    bound.parameters.push_back(ref);
    return absl::StrCat("$", bound.parameters.size());
  };
  for (size_t i = 0; i < relation_.key.size(); ++i) {
    const int column = static_cast<int>(i);
    names.push_back(absl::StrCat(relation_.qualifier_sql, ".", relation_.key[i].name_sql));
    aliases.push_back(absl::StrCat("k", i));
    selected.push_back(absl::StrCat(names.back(), " AS ", aliases.back()));
    if (has_lower) lowers.push_back(next(LowerBound{column}));
  }
  for (size_t i = 0; i < relation_.key.size(); ++i)
    uppers.push_back(next(UpperBound{static_cast<int>(i)}));
  std::string condition = "true";
  if (where != nullptr) {
    const BoundStatement rendered =
        Render(*where, "", {}, static_cast<int>(bound.parameters.size()) + 1);
    condition = absl::StrCat("(", rendered.statement.sql, ")");
    for (const ParameterRef& ref : rendered.parameters) bound.parameters.push_back(ref);
  }
  for (const ParameterRef& ref : bound.parameters)
    bound.statement.parameter_types.push_back(TypeOf(ref));
  const std::string rows = absl::StrCat("$", bound.parameters.size() + 1, "::bigint");
  bound.statement.parameter_types.push_back(kInt8);
  const std::string keys = absl::StrJoin(names, ", ");
  const std::string behind =
      absl::StrCat(" FROM ", relation_.name_sql,
                   has_lower ? absl::StrCat(" WHERE ", RowSql(names), " > ", RowSql(lowers)) : "");
  std::string found;
  if (where == nullptr) {
    found = absl::StrCat("SELECT ", absl::StrJoin(selected, ", "), ", ", rows, " AS matched",
                         behind, " ORDER BY ", keys, " LIMIT 1 OFFSET ", rows, " - 1");
  } else {
    found = absl::StrCat("SELECT * FROM (SELECT ", absl::StrJoin(selected, ", "),
                         ", count(*) FILTER (WHERE ", condition,
                         ") OVER w AS matched, row_number() OVER w AS looked_at", behind,
                         " WINDOW w AS (ORDER BY ", keys, " ROWS UNBOUNDED PRECEDING) ORDER BY ",
                         keys, " LIMIT ", kMaxRowsLookedAt, ") s WHERE matched >= ", rows,
                         " OR looked_at >= ", kMaxRowsLookedAt, " LIMIT 1");
  }
  bound.statement.name = has_lower ? name : absl::StrCat(name, "_first");
  bound.statement.sql =
      absl::StrCat("SELECT ARRAY[", absl::StrJoin(aliases, "::text, "), "::text], matched FROM (",
                   found, ") found WHERE ", RowSql(aliases), " <= ", RowSql(uppers));
  return bound;
}

absl::Status StepSql::MakeBoundary(const StepDefinition& step,
                                   const std::vector<std::string>& declared) {
  std::optional<SqlTemplate> where;
  if (step.where) {
    absl::StatusOr<SqlTemplate> parsed = SqlTemplate::ParseExpression(step.where->sql, declared);
    if (!parsed.ok()) return AtFilePosition(parsed.status(), *step.where);
    where = *std::move(parsed);
  }
  has_where_ = where.has_value();
  boundary_ = BoundaryFor(true, where ? &*where : nullptr, "m_boundary");
  boundary_first_ = BoundaryFor(false, where ? &*where : nullptr, "m_boundary");
  every_row_ = BoundaryFor(true, nullptr, "m_every_row");
  every_row_first_ = BoundaryFor(false, nullptr, "m_every_row");
  // The expression's own parameters come behind those of the range.
  std::vector<ParameterRef> more;
  if (where) more = Render(*where, "", {}).parameters;
  count_ = MakeRange(
      "m_count",
      [&](const std::string& range, int parameters) {
        const std::string filter =
            where ? absl::StrCat(" FILTER (WHERE ",
                                 Render(*where, "", {}, parameters + 1).statement.sql, ")")
                  : "";
        return absl::StrCat("SELECT count(*)", filter, ", count(*) FROM ", relation_.name_sql,
                            " WHERE ", range);
      },
      more);
  rows_ = MakeRange("c_rows", [&](const std::string& range, int parameters) {
    std::vector<std::string> keys, backwards;
    for (const KeyColumn& column : relation_.key) {
      keys.push_back(absl::StrCat("t.", column.name_sql, "::text"));
      backwards.push_back(absl::StrCat(column.name_sql, " DESC"));
    }
    return absl::StrCat("SELECT ARRAY[", absl::StrJoin(keys, ", "),
                        "], to_jsonb(t), pg_column_size(t) FROM (SELECT * FROM ",
                        relation_.name_sql, " WHERE ", range, " ORDER BY ",
                        absl::StrJoin(backwards, ", "), " LIMIT $", parameters + 1, "::bigint) t");
  });
  return absl::OkStatus();
}

pg::Command StepSql::RowsCommand(const OptionalKey& lower, const KeyText& upper,
                                 int64_t limit) const {
  pg::Command command = Bind(rows_.For(lower, upper), lower, upper);
  command.statement.parameter_types.push_back(kInt8);
  command.parameters.push_back(absl::StrCat(limit));
  return command;
}

void StepSql::MakeImages(const BeforeImages& images) {
  // No declared parameter has a space in its name.
  const NamedParameter run{"images run"}, step{"images step"}, relation{"images relation"};
  constexpr pg::Oid kUuid = 2950, kInt4 = 23, kText = 25;
  parameters_.values[run.name] = images.run;
  parameters_.types[run.name] = kUuid;
  parameters_.values[step.name] = absl::StrCat(images.step);
  parameters_.types[step.name] = kInt4;
  parameters_.values[relation.name] = relation_.name_sql;
  parameters_.types[relation.name] = kText;
  const std::vector<ParameterRef> more = {run, step, relation};
  if (images.restore) {
    RangeStatement restore = MakeRange(
        "m_restore",
        [&](const std::string& range, int parameters) {
          return RestoreImagesSql(images, relation_, range, parameters + 1);
        },
        more);
    restore.first.counts = restore.one_key.counts = true;
    for (BoundStatement& statement : restore.by_common) statement.counts = true;
    batch_.push_back(std::move(restore));
    return;
  }
  remember_ = MakeRange("m_remember", [&](const std::string& range, int) {
    return RememberImagesSql(images, relation_, range);
  });
  keep_ = MakeRange(
      "m_keep",
      [&](const std::string& range, int parameters) {
        return KeepImagesSql(images, relation_, range, parameters + 1);
      },
      more);
}

absl::StatusOr<StepSql> StepSql::Make(const StepDefinition& step, const Relation& relation,
                                      const std::vector<std::string>& declared,
                                      BoundParameters parameters, const BeforeImages& images) {
  StepSql made;
  made.relation_ = relation;
  made.parameters_ = std::move(parameters);
  if (!images.columns.empty()) made.MakeImages(images);
  if (step.lock) {
    // Counted inside, so that no row travels.
    made.locks_.push_back(made.MakeRange("m_lock", [&](const std::string& range, int) {
      return absl::StrCat("SELECT count(*) FROM (SELECT 1 FROM ", relation.name_sql, " WHERE ",
                          range, " ORDER BY ", KeyList(relation), " FOR NO KEY UPDATE) s");
    }));
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
      made.verify_whole_ = made.Render(*sql, "m_verify", {});
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
    made.once_.push_back(made.Render(*sql, absl::StrCat("m_once", i), {}));
  }
  return made;
}

std::vector<const BoundStatement*> StepSql::BatchStatements(const OptionalKey& lower,
                                                            const KeyText& upper) const {
  std::vector<const BoundStatement*> all;
  if (remember_) all.push_back(&remember_->For(lower, upper));
  for (const RangeStatement& lock : locks_) all.push_back(&lock.For(lower, upper));
  for (const RangeStatement& statement : batch_) all.push_back(&statement.For(lower, upper));
  if (keep_) all.push_back(&keep_->For(lower, upper));
  return all;
}

std::vector<const BoundStatement*> StepSql::KeyStatements() const {
  std::vector<const BoundStatement*> all;
  if (remember_) all.push_back(&remember_->one_key);
  for (const RangeStatement& lock : locks_) all.push_back(&lock.one_key);
  for (const RangeStatement& statement : batch_) all.push_back(&statement.one_key);
  if (keep_) all.push_back(&keep_->one_key);
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

pg::Command StepSql::BoundaryCommand(const OptionalKey& lower, const KeyText& upper, int64_t rows,
                                     bool every_row) const {
  const BoundStatement& from = every_row ? every_row_ : boundary_;
  const BoundStatement& first = every_row ? every_row_first_ : boundary_first_;
  pg::Command command = Bind(lower ? from : first, lower, upper);
  command.parameters.push_back(absl::StrCat(rows));
  return command;
}

absl::StatusOr<Boundary> StepSql::DecodeBoundary(const pg::Result& result, const KeyText& upper,
                                                 int64_t rows, bool& rows_exact) const {
  Boundary boundary{.asked = rows};
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
  return Bind(count_.For(lower, upper), lower, upper);
}

std::vector<pg::Statement> StepSql::AllStatements() const {
  std::vector<pg::Statement> all;
  const auto add_range = [&](const RangeStatement& range) {
    all.push_back(range.first.statement);
    for (const BoundStatement& statement : range.by_common) all.push_back(statement.statement);
    all.push_back(range.one_key.statement);
  };
  for (const RangeStatement& lock : locks_) add_range(lock);
  for (const RangeStatement& statement : batch_) add_range(statement);
  if (remember_) add_range(*remember_);
  if (keep_) add_range(*keep_);
  if (verify_) add_range(*verify_);
  if (verify_whole_) all.push_back(verify_whole_->statement);
  for (const BoundStatement& statement : once_) all.push_back(statement.statement);
  if (!batch_.empty()) {
    all.push_back(boundary_first_.statement);
    all.push_back(boundary_.statement);
    all.push_back(every_row_first_.statement);
    all.push_back(every_row_.statement);
    add_range(count_);
  }
  return all;
}

}  // namespace dunlin::agent
