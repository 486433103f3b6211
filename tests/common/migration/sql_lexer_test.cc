#include "common/migration/sql_lexer.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dunlin {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> Placeholders(absl::string_view sql) {
  const LexedSql lexed = LexSql(sql, {"batch", "known"});
  EXPECT_FALSE(lexed.problem) << sql << ": " << lexed.problem->message;
  std::string joined;
  std::vector<std::string> found;
  for (const SqlToken& token : lexed.tokens) {
    joined += std::string(token.text);
    if (token.kind == SqlToken::Kind::kPlaceholder) {
      found.push_back(std::string(token.placeholder()));
    }
  }
  EXPECT_EQ(joined, sql);
  return found;
}

TEST(SqlLexerTest, Trap12_NothingInsideTextIsAPlaceholder) {
  const std::vector<std::string> quiet = {
      "a -- :batch",
      "a -- :batch\r\n b",
      "/* :batch */ a",
      "/* /* :batch */ :batch */ a",
      "/*/**/:batch*/ a",
      "':batch'",
      "'it''s :batch'",
      "'\\' || x || ':batch'",  // standard_conforming_strings: the backslash is a character
      "E'\\':batch'",
      "e'\\\\' || ':batch'",
      "E'a'\n 'b\\':batch'",
      "E'a' -- c\n 'b\\':batch'",
      "U&'d\\0061t:batch'",
      "B'01:batch' x'1F:batch'",
      "N'x :batch'",
      "$$ :batch $$",
      "$tag$ :batch $$ $other$ $tag$",
      "$é$ :batch $é$",
      "\":batch\"",
      "\"a\"\":batch\"",
      "U&\"x:batch\"",
      "x::batch",
      "x :: batch",
      "x::batch[]",
      "f(a := b)",
      "f(a:=known)",
      "a[1:n]",
      "a[1 : n]",
      "a[1:known]",
      "a[i:known]",
      "a[f(1):known]",
      "a[b[1]:known]",
      "a[:n]",
      "a[ :n]",
      "a[:]",
      "a ?| b ?& c ? d @? e @@ f",
      "a #>> '{x,y}'",
      "a$batch$b",
      "JSON_OBJECT('a' : 1)",
      "x ~* ':batch'",
  };
  for (const std::string& sql : quiet) EXPECT_TRUE(Placeholders(sql).empty()) << sql;
}

TEST(SqlLexerTest, FindsPlaceholdersBesideEverythingElse) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {":batch", {"batch"}},
      {"a AND:batch", {"batch"}},
      {"'a':batch'b'", {"batch"}},
      {"E'\\\\':batch", {"batch"}},
      {"'\\':batch", {"batch"}},
      {"$$ $$:batch", {"batch"}},
      {"$a$ $b$ $a$ :batch", {"batch"}},
      {"/* a */:batch/* b */", {"batch"}},
      {"-- a\n:batch", {"batch"}},
      {"-- a\r:batch", {"batch"}},
      {"a=:x", {"x"}},
      {"a>=:x-:y", {"x", "y"}},
      {"a-:x--:y\n+:z", {"x", "z"}},
      {"a*/**/:x", {"x"}},
      {":x::int", {"x"}},
      {"ARRAY[:x, :y]", {"x", "y"}},
      {"ARRAY[[:x],[:y]]", {"x", "y"}},
      {"a[:known]", {"known"}},
      {"a[1, :x]", {"x"}},
      {"a[f(:x)]", {"x"}},
      {"a[1 + :x]", {"x"}},
      {"a[1 : :x]", {"x"}},
      {"a[CASE WHEN b THEN :x ELSE :y END]", {"x", "y"}},
      {"1:x", {"x"}},
      {"re'x:y':z", {"z"}},
      {"$1:x", {"x"}},
      {":größe", {"größe"}},
  };
  for (const auto& [sql, want] : cases) EXPECT_EQ(Placeholders(sql), want) << sql;
}

TEST(SqlLexerTest, SaysWhereWhatIsOpenBegins) {
  struct Case {
    std::string sql, message;
    int line, column;
  };
  const std::vector<Case> cases = {
      {"SELECT 'a", "a string is not closed", 1, 8},
      {"SELECT\n  E'a\\'", "a string is not closed", 2, 3},
      {"SELECT 'a'\n'b", "a string is not closed", 1, 8},
      {"é $x$ b $y$", "begins with $x$ is not closed", 1, 3},
      {"a \"b", "a quoted identifier is not closed", 1, 3},
      {"a /* /* */", "a comment /* is not closed", 1, 3},
      {"/*/", "a comment /* is not closed", 1, 1},
      {"a (b", "'(' is not closed", 1, 3},
      {"a b)", "')' closes nothing", 1, 4},
      {"(a]", "']' closes nothing", 1, 3},
      {"x = :'v'", "a ':' stands alone", 1, 5},
      {std::string("a\0b", 3), "NUL", 1, 2},
  };
  for (const Case& c : cases) {
    const LexedSql lexed = LexSql(c.sql, {});
    ASSERT_TRUE(lexed.problem) << c.sql;
    EXPECT_THAT(lexed.problem->message, HasSubstr(c.message)) << c.sql;
    EXPECT_EQ(lexed.problem->line, c.line) << c.sql;
    EXPECT_EQ(lexed.problem->column, c.column) << c.sql;
  }
}

}  // namespace
}  // namespace dunlin
