#include "agent/task/sampling.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/statements.h"
#include "common/fault.h"
#include "common/migration/key_range.h"
#include "common/migration/sql_template.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

constexpr int64_t kBlockBytes = 8192;
// So many blocks for each shard to be: sizes then differ by about 9 % when the heap is in key
// order.
constexpr int64_t kBlocksPerShard = 128;
// Rows are only counted, so fewer blocks say enough: 3 %.
constexpr int64_t kBlocksCounted = 1024;
// Rows taken of each sampled block: neighbours in the heap are often neighbours by key, so more say
// little new.
constexpr double kRowsPerBlock = 4;
// Of a table with few blocks so many rows all the same; sorting more takes longer than it is worth.
constexpr double kRowsSampledMin = 50'000;
// Fewer rows than this are a matter of a second: several shards would be only ceremony.
constexpr int64_t kRowsPerShardMin = 25'000;
// A shard costs some 40 ms of claim and connection; of so many rows (a second or two) that is
// little.
constexpr int64_t kRowsPerShard = 400'000;
// So many shards for each slot, if there are rows enough, that the slots end at about the same
// time.
constexpr int kShardsPerSlot = 4;
constexpr int kDefaultShardsMax = 64;
constexpr int64_t kMinRowsToSplit = 2'000;

std::string KeyArray(const Relation& relation) {
  return absl::StrCat("ARRAY[",
                      absl::StrJoin(relation.key, ", ",
                                    [](std::string* out, const KeyColumn& column) {
                                      absl::StrAppend(out, column.name_sql, "::text");
                                    }),
                      "]");
}

// Key columns under names of their own (k0, k1 …), so that ORDER BY and DISTINCT keep type and
// collation.
std::string KeyAliases(const Relation& relation) {
  std::string out;
  for (size_t i = 0; i < relation.key.size(); ++i) {
    absl::StrAppend(&out, i > 0 ? ", " : "", relation.key[i].name_sql, " AS k", i);
  }
  return out;
}

std::string AliasList(const Relation& relation, absl::string_view suffix) {
  std::string out;
  for (size_t i = 0; i < relation.key.size(); ++i)
    absl::StrAppend(&out, i > 0 ? ", " : "", "k", i, suffix);
  return out;
}

std::string RowOf(const Relation& relation) { return absl::StrCat("(", KeyList(relation), ")"); }

std::string AliasRow(const Relation& relation) {
  return absl::StrCat("(", AliasList(relation, ""), ")");
}

// DESC belongs to each column, not to the list.
std::string Descending(const Relation& relation) {
  return absl::StrJoin(relation.key, ", ", [](std::string* out, const KeyColumn& column) {
    absl::StrAppend(out, column.name_sql, " DESC");
  });
}

absl::StatusOr<KeyText> DecodeRequiredKey(const pg::Value& value) {
  DUNLIN_ASSIGN_OR_RETURN(const OptionalKey key, DecodeKey(value));
  if (!key) return absl::DataLossError("a key is NULL");
  return *key;
}

// (key), as typed SQL from a text[] column: (lower[1]::bigint, lower[2]::text COLLATE …).
std::string TypedKey(const Relation& relation, absl::string_view column) {
  if (DUNLIN_MUTANT("coverage_as_text")) return absl::StrCat("ROW(", column, "::text)");
  std::vector<std::string> parts;
  for (size_t i = 0; i < relation.key.size(); ++i) {
    parts.push_back(absl::StrCat(column, "[", i + 1, "]::", relation.key[i].type_sql,
                                 relation.key[i].collation_sql));
  }
  return parts.size() == 1 ? absl::StrCat("(", parts[0], ")")
                           : absl::StrCat("ROW(", absl::StrJoin(parts, ", "), ")");
}

}  // namespace

absl::StatusOr<Filter> MakeFilter(const StepDefinition& step, const Relation& relation,
                                  const std::vector<std::string>& declared,
                                  const BoundParameters& parameters) {
  Filter filter;
  if (!step.where) return filter;
  auto parsed = SqlTemplate::ParseExpression(step.where->sql, declared);
  if (!parsed.ok()) return AtFilePosition(parsed.status(), *step.where);
  const RenderedSql rendered = parsed->Render({.table_sql = relation.name_sql,
                                               .table_qualifier = relation.qualifier_sql,
                                               .key_columns = {}});
  filter.sql = absl::StrCat("(", rendered.sql, ")");
  for (const ParameterRef& ref : rendered.parameters) {
    const std::string& name = std::get<NamedParameter>(ref).name;
    filter.parameters.push_back(parameters.values.at(name));
    filter.types.push_back(parameters.types.at(name));
  }
  return filter;
}

int ShardCountFor(int64_t rows, int slots, int shards_max) {
  const int most = shards_max > 0 ? shards_max : kDefaultShardsMax;
  const int64_t for_slots = std::min<int64_t>(rows / kRowsPerShardMin, kShardsPerSlot * slots);
  return static_cast<int>(std::clamp<int64_t>(std::max(rows / kRowsPerShard, for_slots), 1, most));
}

absl::StatusOr<KeyPlan> PlanKeySpace(pg::Connection& connection, const Relation& relation,
                                     const Filter& filter, int slots, int shards_max,
                                     int shards_min) {
  const pg::CallOptions options{.timeout = kPlanTimeout};
  KeyPlan plan;
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result largest,
      connection.Query(absl::StrCat("SELECT ", KeyArray(relation), " FROM ", relation.name_sql,
                                    " ORDER BY ", Descending(relation), " LIMIT 1"),
                       {}, options));
  if (largest.rows.empty()) return plan;  // empty: no shards, complete
  DUNLIN_ASSIGN_OR_RETURN(KeyText last, DecodeRequiredKey(largest.rows[0][0]));
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result bytes,
                          connection.Execute(sql::kRelationBytes, {absl::StrCat(relation.oid)}));
  const int64_t blocks = std::max<int64_t>(1, bytes.Int(0, 0) / kBlockBytes);
  const auto percent_of = [&](int64_t sampled) {
    return std::min(100.0, 100.0 * static_cast<double>(sampled) / static_cast<double>(blocks));
  };
  const auto sample_of = [&](double of) {
    return absl::StrCat(" FROM ", relation.name_sql, " TABLESAMPLE SYSTEM (",
                        absl::StrFormat("%.6f", of), ")");
  };
  const double percent_counted = percent_of(kBlocksCounted);
  pg::Statement count{"",
                      absl::StrCat("SELECT count(*), count(*) FILTER (WHERE ", filter.sql, ")",
                                   sample_of(percent_counted)),
                      filter.types};
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result counted,
                          connection.Execute(count, filter.parameters, options));
  const double scale = 100.0 / percent_counted;
  const auto rows_all = static_cast<int64_t>(static_cast<double>(counted.Int(0, 0)) * scale);
  plan.rows_total = static_cast<int64_t>(static_cast<double>(counted.Int(0, 1)) * scale);

  const int shards = std::max(ShardCountFor(rows_all, slots, shards_max), shards_min);
  if (shards > 1) {
    const double rows_per_block =
        std::max(1.0, static_cast<double>(rows_all) / static_cast<double>(blocks));
    const double keep = std::min(1.0, std::max(kRowsPerBlock / rows_per_block,
                                               kRowsSampledMin / static_cast<double>(rows_all)));
    const std::string sample = sample_of(percent_of(kBlocksPerShard * shards));
    const std::string aliases = AliasList(relation, "");
    // Bounds at equal shares of the sample; equal keys collapse, and the largest key ends the last
    // shard: rows that came behind it meanwhile are no bounds.
    std::vector<pg::Value> last_values;
    std::vector<pg::Oid> last_types;
    std::vector<std::string> last_parameters;
    for (size_t i = 0; i < relation.key.size(); ++i) {
      last_values.push_back(last.Reveal()[i]);
      last_types.push_back(relation.key[i].type);
      last_parameters.push_back(absl::StrCat("$", i + 1));
    }
    const std::string last_sql = absl::StrCat("(", absl::StrJoin(last_parameters, ", "), ")");
    const std::string bounds = absl::StrCat(
        "WITH sampled AS (SELECT ", KeyAliases(relation), sample, " WHERE random() < ",
        absl::StrFormat("%.9f", keep), " AND ", RowOf(relation), " < ", last_sql,
        "), ranked AS (SELECT ", aliases, ", row_number() OVER (ORDER BY ", aliases,
        ") AS place, count(*) OVER () AS size FROM sampled), bounds AS (SELECT DISTINCT ", aliases,
        " FROM ranked WHERE place IN (SELECT (i * size / ", shards, ") FROM generate_series(1, ",
        shards - 1, ") AS i)) SELECT ARRAY[", AliasList(relation, "::text"),
        "] FROM bounds ORDER BY ", aliases);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                            connection.Execute({"", bounds, last_types}, last_values, options));
    for (const auto& row : result.rows) {
      DUNLIN_ASSIGN_OR_RETURN(KeyText key, DecodeRequiredKey(row[0]));
      plan.uppers.push_back(std::move(key));
    }
  }
  plan.uppers.push_back(std::move(last));
  return plan;
}

namespace {

// The keys behind `from` in their order, and the condition that one lies before a bound.
struct Ahead {
  pg::Statement statement;  // its types so far; the text is to come
  std::vector<pg::Value> parameters;
  std::string keys;   // SELECT … ORDER BY …, without a limit
  std::string bound;  // of the bound, for RowSql
};

Ahead KeysAhead(const Relation& relation, const OptionalKey& from, const KeyText& upper) {
  Ahead ahead;
  std::vector<std::string> names, lowers, uppers;
  for (const KeyColumn& column : relation.key) names.push_back(column.name_sql);
  for (size_t i = 0; from && i < names.size(); ++i) {
    ahead.parameters.push_back(from->Reveal()[i]);
    ahead.statement.parameter_types.push_back(relation.key[i].type);
    lowers.push_back(absl::StrCat("$", ahead.parameters.size()));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    ahead.parameters.push_back(upper.Reveal()[i]);
    ahead.statement.parameter_types.push_back(relation.key[i].type);
    uppers.push_back(absl::StrCat("$", ahead.parameters.size()));
  }
  ahead.keys =
      absl::StrCat("SELECT ", KeyAliases(relation), " FROM ", relation.name_sql,
                   from ? absl::StrCat(" WHERE ", RowSql(names), " > ", RowSql(lowers)) : "",
                   " ORDER BY ", KeyList(relation, absl::StrCat(relation.qualifier_sql, ".")));
  ahead.bound = RowSql(uppers);
  return ahead;
}

}  // namespace

// Whether a row lies before the upper is asked of it alone, as for the end of a batch: the index is
// read from `from` on.
absl::StatusOr<std::optional<OptionalKey>> FindMiddle(pg::Connection& connection,
                                                      const Relation& relation,
                                                      const OptionalKey& from, const KeyText& upper,
                                                      int64_t rows_left) {
  const std::optional<OptionalKey> none;
  if (rows_left < DUNLIN_TUNABLE("agent.split.rows_min", kMinRowsToSplit)) return none;
  Ahead ahead = KeysAhead(relation, from, upper);
  // At most a few hundred thousand entries ahead: what a plan left out of balance takes several
  // splits.
  ahead.statement.sql =
      absl::StrCat("SELECT ARRAY[", AliasList(relation, "::text"), "] FROM (", ahead.keys,
                   " LIMIT 1 OFFSET ", std::min<int64_t>(rows_left / 2, 200'000), ") found WHERE ",
                   AliasRow(relation), " < ", ahead.bound);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          connection.Execute(ahead.statement, ahead.parameters));
  if (found.rows.empty()) return none;
  DUNLIN_ASSIGN_OR_RETURN(KeyText key, DecodeRequiredKey(found.rows[0][0]));
  return std::optional<OptionalKey>(OptionalKey(std::move(key)));
}

absl::StatusOr<int64_t> CountAhead(pg::Connection& connection, const Relation& relation,
                                   const OptionalKey& from, const KeyText& upper, int64_t most) {
  Ahead ahead = KeysAhead(relation, from, upper);
  ahead.statement.sql = absl::StrCat("SELECT count(*) FROM (", ahead.keys, " LIMIT ", most,
                                     ") found WHERE ", AliasRow(relation), " <= ", ahead.bound);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result counted,
                          connection.Execute(ahead.statement, ahead.parameters));
  return counted.Int(0, 0);
}

std::string CoverageSql(const Relation& relation) {
  const std::string lower = TypedKey(relation, "s.lower");
  const std::string upper = TypedKey(relation, "s.upper");
  const std::string before = TypedKey(relation, "s.before");
  return absl::StrCat(
      "SELECT count(*) FROM (SELECT s.lower, s.upper, row_number() OVER w AS place, lag(s.upper) "
      "OVER w AS before "
      "FROM dunlin.shard s WHERE s.run = $1::uuid AND s.step = $2::int AND s.relation = $3 WINDOW "
      "w AS (ORDER BY ",
      upper,
      ")) s WHERE NOT CASE WHEN s.place = 1 THEN s.lower IS NULL ELSE s.lower IS NOT NULL AND ",
      lower, " = ", before, " AND ", lower, " < ", upper, " END");
}

}  // namespace dunlin::agent
