#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include <gtest/gtest.h>

#include "common/migration/parser.h"
#include "common/migration/sql_lexer.h"
#include "common/migration/sql_template.h"

namespace dunlin {
namespace {

// Replays with DUNLIN_SEED=….
uint64_t Seed() {
  uint64_t seed = std::random_device{}();
  if (const char* given = std::getenv("DUNLIN_SEED")) {
    EXPECT_TRUE(absl::SimpleAtoi(given, &seed)) << "DUNLIN_SEED must be a number";
  }
  std::cout << "DUNLIN_SEED=" << seed << std::endl;
  return seed;
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : engine_(seed) {}

  size_t Below(size_t bound) {
    return std::uniform_int_distribution<size_t>(0, bound - 1)(engine_);
  }

  std::string RandomBytes() {
    std::string out(Below(40), '\0');
    for (char& c : out) c = static_cast<char>(Below(256));
    return out;
  }

  std::string FromFragments() {
    std::string out;
    for (size_t i = Below(25); i > 0; --i) out += kFragments[Below(kFragments.size())];
    return out;
  }

  std::string Mutated(std::string text) {
    for (size_t i = 1 + Below(6); i > 0; --i) {
      const size_t at = Below(text.size() + 1);
      switch (Below(4)) {
        case 0:
          text.insert(at, 1, static_cast<char>(Below(256)));
          break;
        case 1:
          text.insert(at, kFragments[Below(kFragments.size())]);
          break;
        case 2:
          text.erase(at, 1 + Below(8));
          break;
        default:
          text += text.substr(at, Below(20));
      }
    }
    return text;
  }

 private:
  const std::vector<std::string> kFragments = {
      "'",         "''",     "E'", "U&'",   "U&\"", "\"",   "\\",    "$$",      "$a$",
      "$1",        "--",     "/*", "*/",    ":",    "::",   ":=",    ":b",      ":batch",
      ":batch(r)", ":table", "(",  ")",     "[",    "]",    "ARRAY", ";",       "\n",
      "\r",        " ",      "1",  ".5",    "1e",   "0x",   "x",     "SELECT ", "WITH a AS (",
      "UPDATE ",   "?|",     "é",  "CASE ", "END ", " OR ", "NOT ",  "WHERE ",  " ON ",
      "JOIN ",     "- ",     "\t", "key: ", ",",    "|",    "*a",    "&a ",     "!!x ",
      "{",         "}",      "#"};
  std::mt19937_64 engine_;
};

constexpr const char* kStatement =
    "WITH x AS (SELECT a[1:n], E'\\'', $q$ :batch $q$ FROM t WHERE b OR c) /* a /* b */ */\n"
    "UPDATE :table r SET a = :v, \"B\" = x::batch -- c\nFROM x WHERE NOT d AND :batch(r);";

void CheckLexer(const std::string& sql) {
  const LexedSql lexed = LexSql(sql, {"batch", "table", "v"});
  std::string joined;
  for (const SqlToken& token : lexed.tokens) {
    ASSERT_FALSE(token.text.empty());
    ASSERT_EQ(token.offset, joined.size());
    joined += std::string(token.text);
  }
  if (lexed.problem) {
    ASSERT_EQ(joined, sql.substr(0, joined.size()));
    ASSERT_LE(lexed.problem->offset, sql.size());
  } else {
    ASSERT_EQ(joined, sql);
  }
}

void CheckTemplate(const std::string& sql) {
  const auto parsed = SqlTemplate::Parse(sql, {"v"});
  (void)SqlTemplate::ParseExpression(sql, {"v"});
  if (!parsed.ok()) return;
  const RenderedSql out =
      parsed->Render({.table_sql = "\"T\"", .table_qualifier = "\"T\"", .key_columns = {"a", "b"}});
  // What is rendered is one statement still, with nothing open and no placeholder left.
  const LexedSql lexed = LexSql(out.sql, {"batch", "table", "v"});
  ASSERT_FALSE(lexed.problem) << sql << "\n-> " << out.sql << "\n" << lexed.problem->message;
  for (const SqlToken& token : lexed.tokens) {
    ASSERT_NE(token.kind, SqlToken::Kind::kPlaceholder) << sql << "\n-> " << out.sql;
    ASSERT_FALSE(token.IsMark(';')) << sql << "\n-> " << out.sql;
    if (token.kind != SqlToken::Kind::kPositional) continue;
    size_t number = 0;
    ASSERT_TRUE(absl::SimpleAtoi(token.text.substr(1), &number));
    ASSERT_GE(number, 1U);
    ASSERT_LE(number, out.parameters.size()) << sql << "\n-> " << out.sql;
  }
}

TEST(SqlFuzzTest, PiecesJoinedAreTheInputAndNothingCrashes) {
  Mutator mutator(Seed());
  for (int i = 0; i < 6000; ++i) {
    for (const std::string& sql :
         {mutator.RandomBytes(), mutator.FromFragments(), mutator.Mutated(kStatement)}) {
      SCOPED_TRACE(sql);
      ASSERT_NO_FATAL_FAILURE(CheckLexer(sql));
      ASSERT_NO_FATAL_FAILURE(CheckTemplate(sql));
    }
  }
}

TEST(SqlFuzzTest, TheParserAnswersForAnyBytes) {
  const std::string file =
      "description: Copy\nowner: 'a'\ntable: public.t\nkey: [id]\nbatch:\n  - |\n    UPDATE t\n"
      "    SET a = 1 WHERE :batch\nrequires:\n  - {sql: \"SELECT 1\", says: x}\nlimits:\n"
      "  pause: 1s\nlabels: {a: b}\nparameters: {v: int}\n";
  ASSERT_TRUE(ParseMigration("f", file).ok());
  Mutator mutator(Seed());
  for (int i = 0; i < 1500; ++i) {
    for (const std::string& text :
         {mutator.RandomBytes(), mutator.FromFragments(), mutator.Mutated(file)}) {
      SCOPED_TRACE(text);
      for (const FileProblem& problem : ParseMigration("f", text).problems) {
        ASSERT_FALSE(problem.message.empty());
        ASSERT_GE(problem.line, 0);
      }
    }
  }
}

}  // namespace
}  // namespace dunlin
