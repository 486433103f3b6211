#include "common/migration/test_file.h"

#include <string>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

namespace dunlin {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TestFile Parse(absl::string_view text) {
  const TestFileResult result = ParseTestFile("f.test.yaml", text);
  for (const FileProblem& problem : result.problems) ADD_FAILURE() << problem.ToString();
  return result.test;
}

std::string ProblemsOf(absl::string_view text) {
  std::string all;
  for (const FileProblem& problem : ParseTestFile("f", text).problems)
    absl::StrAppend(&all, problem.ToString(), "\n");
  return all;
}

TEST(TestFileTest, OneCaseStandsAtTheTop) {
  const TestFile test = Parse(R"(
schema: CREATE TABLE t (id int, data jsonb)
ignore: [t.seen, "other.t.seen"]
parameters: {cutoff: 2026-01-01}
rows:
  t:
    - {id: 1, name: Ann, data: {a: [1, true, null, '1']}}
    - {id: 007}
expect:
  t: []
  u:
    - {id: 1}
)");
  EXPECT_EQ(test.schema, "CREATE TABLE t (id int, data jsonb)");
  EXPECT_THAT(test.ignore, ElementsAre(Pair("public.t", "seen"), Pair("other.t", "seen")));
  ASSERT_EQ(test.cases.size(), 1u);
  const TestCase& one = test.cases[0];
  EXPECT_THAT(one.parameters, ElementsAre(Pair("cutoff", "2026-01-01")));
  ASSERT_EQ(one.rows.size(), 1u);
  EXPECT_EQ(one.rows[0].table, "t");
  EXPECT_EQ(one.rows[0].rows[0].json, R"({"id":1,"name":"Ann","data":{"a":[1,true,null,"1"]}})");
  EXPECT_THAT(one.rows[0].rows[0].columns, ElementsAre("id", "name", "data"));
  EXPECT_EQ(one.rows[0].rows[0].line, 7);
  // Not a number in JSON: a text, which the column's type may take as one.
  EXPECT_EQ(one.rows[0].rows[1].json, R"({"id":"007"})");
  ASSERT_EQ(one.expect.size(), 2u);
  EXPECT_THAT(one.expect[0].rows, IsEmpty());
}

TEST(TestFileTest, CasesHaveRowsAndParametersOfTheirOwn) {
  const TestFile test = Parse(R"(
schema_file: ../structure.sql
parameters: {n: 1}
cases:
  - name: few
    rows: INSERT INTO t VALUES (1)
    expect: SELECT * FROM t
  - parameters: {n: 2}
    expect: {t: [{id: 1}]}
)");
  EXPECT_EQ(test.schema_file, "../structure.sql");
  ASSERT_EQ(test.cases.size(), 2u);
  EXPECT_EQ(test.cases[0].name, "few");
  EXPECT_EQ(test.cases[0].rows_sql, "INSERT INTO t VALUES (1)");
  EXPECT_EQ(test.cases[0].expect_sql, "SELECT * FROM t");
  EXPECT_THAT(test.cases[0].parameters, ElementsAre(Pair("n", "1")));
  EXPECT_EQ(test.cases[1].name, "case 2");
  EXPECT_THAT(test.cases[1].parameters, ElementsAre(Pair("n", "2")));
}

TEST(TestFileTest, MistakesHaveAPlaceAndSayWhatWasExpected) {
  EXPECT_THAT(ProblemsOf(""), HasSubstr("expected a test"));
  EXPECT_THAT(ProblemsOf("expect: {t: []}\n"), HasSubstr("schema is missing"));
  EXPECT_THAT(ProblemsOf("schema: x\n"), HasSubstr("expect is missing"));
  EXPECT_THAT(ProblemsOf("schema: x\nexpcet: {t: []}\n"),
              HasSubstr("f:2:1: expcet: unknown field"));
  EXPECT_THAT(ProblemsOf("schema: x\nexpect: {}\n"), HasSubstr("names no table"));
  EXPECT_THAT(ProblemsOf("schema: x\nexpect:\n  t:\n"), HasSubstr("write [] for a table"));
  EXPECT_THAT(ProblemsOf("schema: x\nexpect: {t: [{a: 1}, {b: 1}]}\n"),
              HasSubstr("names other columns than the first (a)"));
  EXPECT_THAT(ProblemsOf("schema: x\nexpect: {t: [{a: 1, a: 2}]}\n"), HasSubstr("stands twice"));
  EXPECT_THAT(ProblemsOf("schema: x\nexpect: {t: [1]}\n"), HasSubstr("expected a row"));
  EXPECT_THAT(ProblemsOf("schema: x\nexpect: {t u: []}\n"), HasSubstr("the name of a table"));
  EXPECT_THAT(ProblemsOf("schema: x\nignore: [a]\nexpect: {t: []}\n"), HasSubstr("table.column"));
  EXPECT_THAT(ProblemsOf("schema: x\nrows: {}\nexpect: {t: []}\ncases: []\n"),
              HasSubstr("cannot stand beside"));
  EXPECT_THAT(ProblemsOf("schema: x\ncases: []\n"), HasSubstr("at least one case"));
  EXPECT_THAT(ProblemsOf("schema: x\nrows: &r {t: [{a: *r}]}\nexpect: {t: []}\n"),
              HasSubstr("f:2"));
}

TEST(TestFileTest, FieldsAreTakenOutAndOtherLinesStayWhereTheyAre) {
  const std::string text =
      "description: d\ntarget: [a, b]\ntable: t\nlimits:\n  pause: 1s\n  # a comment\nbatch: "
      "DELETE "
      "FROM t WHERE :batch\ncritical: true\n";
  const std::string without = WithoutTopFields(text, {"target", "limits", "critical"});
  EXPECT_EQ(without.size(), text.size());
  EXPECT_EQ(without.find("batch:"), text.find("batch:"));
  const ParseResult parsed = ParseMigration("f", without);
  ASSERT_TRUE(parsed.ok());
  EXPECT_THAT(parsed.definition.targets, IsEmpty());
  EXPECT_FALSE(parsed.definition.critical);
  EXPECT_EQ(parsed.definition.limits.pause, absl::ZeroDuration());
  // Broken either way, or nothing to take out: as it is.
  EXPECT_EQ(WithoutTopFields("{description: d, target: a}", {"target"}),
            "{description: d, target: a}");
  EXPECT_EQ(WithoutTopFields("- a", {"target"}), "- a");
}

}  // namespace
}  // namespace dunlin
