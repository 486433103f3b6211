#include "common/migration/sql_template.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dunlin {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RenderContext Context(std::vector<std::string> keys = {"id"}) {
  return {.table_sql = "public.reservations",
          .table_qualifier = "reservations",
          .key_columns = std::move(keys)};
}

SqlTemplate Parsed(absl::string_view sql, const std::vector<std::string>& declared = {}) {
  auto parsed = SqlTemplate::Parse(sql, declared);
  EXPECT_TRUE(parsed.ok()) << sql << ": " << parsed.status();
  return parsed.ok() ? *std::move(parsed) : SqlTemplate();
}

std::string Rendered(absl::string_view sql, const std::vector<std::string>& declared = {}) {
  return Parsed(sql, declared).Render(Context()).sql;
}

std::string ErrorOf(absl::string_view sql, const std::vector<std::string>& declared = {}) {
  const auto parsed = SqlTemplate::Parse(sql, declared);
  EXPECT_FALSE(parsed.ok()) << sql;
  return std::string(parsed.status().message());
}

TEST(SqlTemplateTest, ASingleKeyIsComparedPlainly) {
  const RenderedSql out = Parsed("DELETE FROM reservations WHERE :batch").Render(Context());
  EXPECT_EQ(out.sql,
            "DELETE FROM reservations WHERE (reservations.id > $1 AND reservations.id <= $2)");
  EXPECT_THAT(out.parameters,
              ElementsAre(ParameterRef(LowerBound{0}), ParameterRef(UpperBound{0})));
}

TEST(SqlTemplateTest, Trap02_ACompositeKeyIsComparedAsARow) {
  const RenderedSql out =
      Parsed("UPDATE t r SET a = 1 WHERE :batch(r)").Render(Context({"a", "\"B\""}));
  EXPECT_EQ(
      out.sql,
      "UPDATE t r SET a = 1 WHERE ((r.a, r.\"B\") > ($1, $2) AND (r.a, r.\"B\") <= ($3, $4) AND "
      "(r.a = $1 AND r.\"B\" > $2 OR r.a > $1 AND r.a < $3 OR r.a = $3 AND r.\"B\" <= $4))");
  EXPECT_THAT(out.parameters,
              ElementsAre(ParameterRef(LowerBound{0}), ParameterRef(LowerBound{1}),
                          ParameterRef(UpperBound{0}), ParameterRef(UpperBound{1})));
}

TEST(SqlTemplateTest, TheFirstRangeHasNoLowerBound) {
  RenderContext one = Context();
  one.range.has_lower = false;
  EXPECT_EQ(Parsed("SELECT 1 FROM t r WHERE :batch(r)").Render(one).sql,
            "SELECT 1 FROM t r WHERE (r.id <= $1)");
  RenderContext two = Context({"a", "b"});
  two.range.has_lower = false;
  const RenderedSql out = Parsed("SELECT 1 FROM t r WHERE :batch(r)").Render(two);
  EXPECT_EQ(out.sql,
            "SELECT 1 FROM t r WHERE ((r.a, r.b) <= ($1, $2) AND "
            "(r.a < $1 OR r.a = $1 AND r.b <= $2))");
  EXPECT_THAT(out.parameters,
              ElementsAre(ParameterRef(UpperBound{0}), ParameterRef(UpperBound{1})));
}

TEST(SqlTemplateTest, EachParameterIsNumberedOnce) {
  const RenderedSql out =
      Parsed(
          "WITH x AS (SELECT 1 FROM a WHERE :batch(a)) UPDATE b SET c = :v, d = :v, "
          "e = :started_at WHERE :batch(b)",
          {"v"})
          .Render(Context());
  EXPECT_EQ(out.sql,
            "WITH x AS (SELECT 1 FROM a WHERE (a.id > $1 AND a.id <= $2)) UPDATE b SET c = $3, d = "
            "$3, e = $4 WHERE (b.id > $1 AND b.id <= $2)");
  EXPECT_THAT(out.parameters, ElementsAre(ParameterRef(LowerBound{0}), ParameterRef(UpperBound{0}),
                                          ParameterRef(NamedParameter{"v"}),
                                          ParameterRef(NamedParameter{"started_at"})));
}

TEST(SqlTemplateTest, NumbersBeginWhereTheContextSays) {
  RenderContext context = Context();
  context.first_parameter = 3;
  const auto where = SqlTemplate::ParseExpression("a = :v AND b = :w AND c = :v", {"v", "w"});
  ASSERT_TRUE(where.ok());
  EXPECT_EQ(where->Render(context).sql, "a = $3 AND b = $4 AND c = $3");
}

TEST(SqlTemplateTest, TheAliasStandsAsWritten) {
  EXPECT_EQ(Rendered("SELECT 1 FROM t \"R r\" WHERE :batch(\"R r\")"),
            "SELECT 1 FROM t \"R r\" WHERE (\"R r\".id > $1 AND \"R r\".id <= $2)");
  EXPECT_EQ(Rendered("SELECT 1 WHERE :batch ( r )"), "SELECT 1 WHERE (r.id > $1 AND r.id <= $2)");
}

TEST(SqlTemplateTest, Trap03_TableBecomesTheQuotedRelation) {
  const SqlTemplate sql = Parsed("UPDATE :table SET a = 1 WHERE :batch");
  EXPECT_TRUE(sql.uses_table());
  RenderContext context = Context();
  context.table_sql = "\"Odd\".\"T\"";
  context.table_qualifier = "\"T\"";
  EXPECT_EQ(sql.Render(context).sql,
            "UPDATE \"Odd\".\"T\" SET a = 1 WHERE (\"T\".id > $1 AND \"T\".id <= $2)");
}

TEST(SqlTemplateTest, Trap12_WhatIsNoPlaceholderPassesUnchanged) {
  for (const std::string sql :
       {"SELECT ':batch', E'\\':batch', $$:batch$$, \":batch\", x::batch, a[1:n], b ?| c",
        "SELECT 1 /* :batch /* :table */ */ -- :x\n + 1", "SELECT f(a := 1), b @? '$.c', d ?& e"}) {
    const SqlTemplate parsed = Parsed(sql);
    EXPECT_FALSE(parsed.uses_batch()) << sql;
    EXPECT_FALSE(parsed.uses_table()) << sql;
    EXPECT_EQ(parsed.Render(Context()).sql, sql);
    EXPECT_THAT(parsed.Render(Context()).parameters, IsEmpty());
  }
}

TEST(SqlTemplateTest, WhatWasTwoTokensStaysTwo) {
  EXPECT_EQ(Rendered("SELECT x:v", {"v"}), "SELECT x $1");
  EXPECT_EQ(Rendered("SELECT 1:v", {"v"}), "SELECT 1 $1");
  EXPECT_EQ(Rendered("SELECT :v:w", {"v", "w"}), "SELECT $1 $2");
  EXPECT_EQ(Rendered("SELECT a=:v::int", {"v"}), "SELECT a=$1::int");
  EXPECT_EQ(Rendered("SELECT 1 WHERE a AND:batch"),
            "SELECT 1 WHERE a AND(reservations.id > $1 AND reservations.id <= $2)");
  RenderContext quoted = Context();
  quoted.table_sql = "\"T\"";
  EXPECT_EQ(Parsed("SELECT U&:table").Render(quoted).sql, "SELECT U& \"T\"");
  EXPECT_EQ(Parsed("SELECT \"a\":table\"b\"").Render(quoted).sql, "SELECT \"a\" \"T\" \"b\"");
}

TEST(SqlTemplateTest, ATrailingSemicolonGoesAndACommentAtTheEndIsClosed) {
  EXPECT_EQ(Rendered("SELECT 1 ; "), "SELECT 1  ");
  EXPECT_EQ(Rendered("SELECT 1; -- done"), "SELECT 1 -- done\n");
  EXPECT_EQ(Rendered("SELECT 1 -;-- done"), "SELECT 1 - -- done\n") << "no part of the comment";
  const auto where = SqlTemplate::ParseExpression("a -- why", {});
  ASSERT_TRUE(where.ok());
  EXPECT_EQ("(" + where->Render(Context()).sql + ")", "(a -- why\n)");
}

TEST(SqlTemplateTest, ErrorsSayWhereAndWhatWasExpected) {
  EXPECT_THAT(
      ErrorOf("SELECT\n  :foo", {"food"}),
      HasSubstr("2:3: :foo is not declared; known are :food, :started_at, :batch, :table; did "
                "you mean 'food'?"));
  EXPECT_THAT(ErrorOf("SELECT $1"), HasSubstr("1:8: $1 is not for migration files: write :name"));
  EXPECT_THAT(ErrorOf("SELECT 1 WHERE :batch()"), HasSubstr("1:23: expected the alias"));
  EXPECT_THAT(ErrorOf("SELECT 1 WHERE :batch(a.b)"), HasSubstr("1:24: expected ')'"));
  EXPECT_THAT(ErrorOf("SELECT 1 WHERE :batch('a')"), HasSubstr("expected the alias"));
  EXPECT_THAT(ErrorOf("SELECT 1 WHERE :BATCH"), HasSubstr(":BATCH is not declared"));
  EXPECT_THAT(ErrorOf("SELECT :batchx"), HasSubstr(":batchx is not declared"));
  EXPECT_THAT(ErrorOf("SELECT :v$x", {"v"}), HasSubstr(":v$x is not declared"));
  EXPECT_THAT(ErrorOf("SELECT 1; DELETE FROM t"), HasSubstr("1:9: a second statement"));
  EXPECT_THAT(ErrorOf("CALL f()"), HasSubstr("1:1: a statement begins with"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("no statement"));
}

TEST(SqlTemplateTest, ExpressionsTakeOnlyParameters) {
  EXPECT_TRUE(SqlTemplate::ParseExpression("a = :v AND b < :started_at", {"v"}).ok());
  for (const std::string bad :
       {"", " ", "-- a", ":batch", ":table.a", ":x", "a; b", "true) OR (true", "(a", "$1", "'a"}) {
    EXPECT_FALSE(SqlTemplate::ParseExpression(bad, {"v"}).ok()) << bad;
  }
}

TEST(SqlTemplateTest, Trap12_WarnsOfAnOrBesideBatch) {
  EXPECT_THAT(Parsed("UPDATE t SET a = 1 WHERE b OR c AND :batch").Warnings(),
              ElementsAre(HasSubstr("beside an OR")));
  EXPECT_THAT(Parsed("UPDATE t SET a = 1 WHERE (b OR c) AND :batch").Warnings(), IsEmpty());
  EXPECT_THAT(Parsed("UPDATE t SET a = 1 WHERE b OR c").Warnings(), IsEmpty());
}

}  // namespace
}  // namespace dunlin
