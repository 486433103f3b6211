#include "agent/work/images.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/ledger/statements.h"
#include "common/fault.h"
#include "common/migration/identifier.h"
#include "common/migration/sql_template.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// "f(0), f(1), …"
std::string List(size_t count, const std::function<std::string(size_t)>& one,
                 absl::string_view separator = ", ") {
  std::vector<std::string> items;
  for (size_t i = 0; i < count; ++i) items.push_back(one(i));
  return absl::StrJoin(items, separator);
}

// Key and kept columns of the rows of the range, as k0 … and c0 ….
std::string SelectedSql(const BeforeImages& images, const Relation& relation) {
  return absl::StrCat(
      List(relation.key.size(),
           [&](size_t i) { return absl::StrCat(relation.key[i].name_sql, " AS k", i); }),
      ", ", List(images.columns.size(), [&](size_t i) {
        return absl::StrCat(images.columns[i].name_sql, " AS c", i);
      }));
}

std::string Texts(absl::string_view prefix, size_t count) {
  return List(count, [&](size_t i) { return absl::StrCat(prefix, i, "::text"); });
}

bool MayInsert(const StepDefinition& step) {
  return std::any_of(step.batch.begin(), step.batch.end(), [](const SqlText& text) {
    // Parameters matter only for their names; a statement that cannot be read is told of elsewhere.
    const auto parsed = SqlTemplate::ParseOrProblem(text.sql, {}, SqlTemplate::Kind::kStatement);
    const auto* sql = std::get_if<SqlTemplate>(&parsed);
    return sql == nullptr || (sql->verb() != "UPDATE" && sql->verb() != "DELETE");
  });
}

}  // namespace

absl::StatusOr<BeforeImages> DescribeImages(pg::Connection& connection, const RunSpec& run,
                                            int step_index, const StepDefinition& step,
                                            const Relation& relation) {
  BeforeImages images{.restore = !step.restore.empty(), .may_insert = MayInsert(step)};
  const std::vector<std::string>* names = images.restore ? &step.restore : nullptr;
  if (step.undo && !images.restore) names = &step.undo->keep;
  if (names == nullptr || names->empty()) return images;
  images.run = images.restore ? run.follows.value() : run.id.value();
  images.step = images.restore ? step.undoes_step : step_index;
  if (!relation.key_unique) {
    return absl::FailedPreconditionError(
        absl::StrCat("undo.keep needs a unique key to tell rows apart, and ", DescribeKey(relation),
                     " is not; choose a unique `key:`, or write `undo: {batch: …}`"));
  }
  for (const std::string& column : *names) {
    DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> parsed, ParseIdentifier(column));
    DUNLIN_ASSIGN_OR_RETURN(
        const pg::Result found,
        connection.Execute(sql::kKeptColumn, {absl::StrCat(relation.oid), parsed.back()}));
    if (found.rows.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "table ", relation.name_sql, " has no column ", column, ", which undo.keep names"));
    }
    const std::string& name_sql = found.Text(0, 0);
    const bool in_key = std::any_of(relation.key.begin(), relation.key.end(),
                                    [&](const KeyColumn& key) { return key.name_sql == name_sql; });
    if (found.Bool(0, 2) || in_key) {
      return absl::FailedPreconditionError(
          absl::StrCat("undo.keep names column ", column, " of ", relation.name_sql,
                       in_key ? ", which is of the key and must not change"
                              : ", which is generated and follows the others by itself"));
    }
    images.columns.push_back({.name_sql = name_sql, .type_sql = found.Text(0, 1)});
  }
  return images;
}

std::string RememberImagesSql(const BeforeImages& images, const Relation& relation,
                              const std::string& range) {
  return absl::StrCat(
      "SELECT length(set_config('dunlin.images', coalesce((SELECT "
      "json_agg(json_build_array(json_build_array(",
      Texts("k", relation.key.size()), "), json_build_array(", Texts("c", images.columns.size()),
      ")))::text FROM (SELECT ", SelectedSql(images, relation), " FROM ", relation.name_sql,
      " WHERE ", range, " ORDER BY ", KeyList(relation), " FOR NO KEY UPDATE) t), '[]'), true))");
}

std::string KeepImagesSql(const BeforeImages& images, const Relation& relation,
                          const std::string& range, int first) {
  const size_t keys = relation.key.size();
  const std::string was = absl::StrCat(
      "SELECT ",
      List(keys,
           [&](size_t i) {
             return absl::StrCat("(e->0->>", i, ")::", relation.key[i].type_sql, " AS k", i);
           }),
      ", ARRAY[", List(keys, [](size_t i) { return absl::StrCat("e->0->>", i); }),
      "]::text[] AS key, ARRAY[",
      List(images.columns.size(), [](size_t i) { return absl::StrCat("e->1->>", i); }),
      "]::text[] AS before FROM json_array_elements(current_setting('dunlin.images')::json) AS "
      "r(e)");
  const std::string is =
      absl::StrCat("SELECT ", List(keys, [](size_t i) { return absl::StrCat("k", i); }), ", ARRAY[",
                   Texts("c", images.columns.size()), "]::text[] AS after, ours FROM (SELECT ",
                   SelectedSql(images, relation),
                   ", xmin::text::bigint = (txid_current() & 4294967295) AS ours FROM ",
                   relation.name_sql, " WHERE ", range, ") t");
  const std::string same_key = List(
      keys, [](size_t i) { return absl::StrCat("was.k", i, " = now.k", i); }, " AND ");
  return absl::StrCat(
      "WITH was AS MATERIALIZED (", was, "), now AS MATERIALIZED (", is,
      "), pair AS MATERIALIZED (SELECT was.key, was.before, now.after, was.k0 IS NULL AS came, "
      "now.k0 IS NULL AS gone, now.ours FROM was FULL JOIN now ON ",
      same_key,
      "), kept AS (INSERT INTO dunlin.before_image (run, step, relation, key, before, after) "
      "SELECT $",
      first, "::uuid, $", first + 1, "::int, $", first + 2,
      "::text, key, before, after FROM pair WHERE NOT came AND NOT gone",
      DUNLIN_MUTANT("images_of_unchanged_rows") ? "" : " AND after IS DISTINCT FROM before",
      ") SELECT dunlin.check_images(count(*) FILTER (WHERE gone), ",
      images.may_insert ? "0" : "count(*) FILTER (WHERE came AND ours)", ") FROM pair");
}

std::string RestoreImagesSql(const BeforeImages& images, const Relation& relation,
                             const std::string& range, int first) {
  const size_t keys = relation.key.size();
  // Row by row, by the whole of the index, whatever the planner knows of the table.
  const std::string found =
      absl::StrCat("SELECT i.place, i.key, i.before FROM (SELECT ", SelectedSql(images, relation),
                   " FROM ", relation.name_sql, " WHERE ", range,
                   ") t CROSS JOIN LATERAL (SELECT b.ctid AS place, b.key, b.before, b.after FROM "
                   "dunlin.before_image b WHERE b.key = ARRAY[",
                   Texts("t.k", keys), "] AND b.relation = $", first + 2, "::text AND b.step = $",
                   first + 1, "::int AND b.run = $", first,
                   "::uuid OFFSET 0) i WHERE i.after = ARRAY[", Texts("t.c", images.columns.size()),
                   "]", DUNLIN_MUTANT("restore_what_was_changed") ? " OR true" : "");
  const std::string put_back = absl::StrCat(
      "UPDATE ", relation.name_sql, " AS ", relation.qualifier_sql, " SET ",
      List(images.columns.size(),
           [&](size_t i) {
             return absl::StrCat(images.columns[i].name_sql, " = (dunlin_found.before)[", i + 1,
                                 "]::", images.columns[i].type_sql);
           }),
      " FROM dunlin_found WHERE ", range, " AND ",
      List(
          keys,
          [&](size_t i) {
            return absl::StrCat(relation.qualifier_sql, ".", relation.key[i].name_sql,
                                " = (dunlin_found.key)[", i + 1, "]::", relation.key[i].type_sql);
          },
          " AND "),
      " RETURNING dunlin_found.place");
  // An image goes only with a row that was put back: a trigger may have kept it from that.
  return absl::StrCat("WITH dunlin_found AS MATERIALIZED (", found, "), dunlin_put AS (", put_back,
                      ") DELETE FROM dunlin.before_image b USING ",
                      DUNLIN_MUTANT("image_gone_without_its_row") ? "dunlin_found" : "dunlin_put",
                      " p WHERE b.ctid = p.place");
}

}  // namespace dunlin::agent
