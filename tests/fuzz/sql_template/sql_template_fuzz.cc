#include <optional>
#include <variant>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "common/migration/sql_lexer.h"
#include "common/migration/sql_template.h"
#include "tests/fuzz/fuzz.h"

namespace {

using dunlin::LexedSql;
using dunlin::SqlProblem;
using dunlin::SqlTemplate;
using dunlin::SqlToken;

std::vector<std::string> KnownIn(SqlTemplate::Kind kind) {
  std::vector<std::string> names = {"v", "started_at"};
  if (kind == SqlTemplate::Kind::kStatement) names.insert(names.end(), {"batch", "table"});
  return names;
}

bool IsParameter(const std::string& word) {
  return word.size() > 1 && word[0] == '$' && absl::ascii_isdigit(word[1]);
}

void RequireInside(const SqlProblem& problem, const std::string& sql) {
  const std::vector<std::string> lines = absl::StrSplit(sql, '\n');
  FUZZ_REQUIRE(problem.offset <= sql.size(), sql);
  FUZZ_REQUIRE(problem.line >= 1 && static_cast<size_t>(problem.line) <= lines.size(), sql);
  const std::string& line = lines[static_cast<size_t>(problem.line) - 1];
  FUZZ_REQUIRE(problem.column >= 1 && static_cast<size_t>(problem.column) <= line.size() + 1, sql);
  FUZZ_REQUIRE(!problem.message.empty(), sql);
}

// The tokens joined are the text.
LexedSql RequireLexed(const std::string& sql, SqlTemplate::Kind kind) {
  LexedSql lexed = dunlin::LexSql(sql, KnownIn(kind));
  std::string joined;
  for (const SqlToken& token : lexed.tokens) {
    FUZZ_REQUIRE(!token.text.empty() && token.offset == joined.size(), sql);
    joined.append(token.text.data(), token.text.size());
  }
  if (lexed.problem) {
    RequireInside(*lexed.problem, sql);
    FUZZ_REQUIRE(joined == sql.substr(0, joined.size()), sql);
  } else {
    FUZZ_REQUIRE(joined == sql, sql);
  }
  return lexed;
}

// What of the rendered statement is not made of placeholders, token by token; white space, which
// separates tokens, aside.
std::vector<std::string> Words(const std::vector<SqlToken>& tokens) {
  std::vector<std::string> words;
  for (const SqlToken& token : tokens)
    if (token.kind != SqlToken::Kind::kSpace) words.emplace_back(token.text);
  return words;
}

// Each placeholder's own words.
std::vector<std::string> WordsOf(const std::string& sql) {
  const LexedSql lexed = dunlin::LexSql(sql, {});
  FUZZ_REQUIRE(!lexed.problem, sql);
  return Words(lexed.tokens);
}

// The words that `sql` must be rendered to, by the documentation alone: everything as it stands,
// `:table` the relation, `:batch` and `:batch(alias)` the range, a name a parameter, no `;`.
class Expected {
 public:
  explicit Expected(std::vector<SqlToken> tokens) {
    std::erase_if(tokens, [](const SqlToken& t) { return t.kind == SqlToken::Kind::kSpace; });
    for (size_t at = 0; at < tokens.size(); ++at) {
      const SqlToken& token = tokens[at];
      if (token.IsMark(';')) continue;
      if (token.kind != SqlToken::Kind::kPlaceholder) {
        words_.emplace_back(std::string(token.text));
      } else if (token.placeholder() == "table") {
        words_.emplace_back(std::string("\"T\""));
      } else if (token.placeholder() == "batch") {
        const bool alias = at + 3 < tokens.size() && tokens[at + 1].IsMark('(');
        AddRange(alias ? std::string(tokens[at + 2].text) : "\"T\"");
        if (alias) at += 3;
      } else {
        words_.emplace_back(std::nullopt);
      }
    }
  }
  void RequireSame(const std::vector<std::string>& words, const std::string& sql) const {
    FUZZ_REQUIRE(words.size() == words_.size(), sql);
    for (size_t i = 0; i < words.size(); ++i)
      FUZZ_REQUIRE(words_[i] ? words[i] == *words_[i] : IsParameter(words[i]), sql);
  }

 private:
  // One key column and both bounds: (t.a > $n AND t.a <= $n).
  void AddRange(const std::string& table) {
    words_.emplace_back("(");
    for (const char* comparison : {">", "<="}) {
      for (const std::string& word : WordsOf(absl::StrCat(table, ".a"))) words_.emplace_back(word);
      words_.emplace_back(comparison);
      words_.emplace_back(std::nullopt);
      words_.emplace_back(comparison[1] == '\0' ? "AND" : ")");
    }
  }

  std::vector<std::optional<std::string>> words_;  // nothing: a parameter, $n
};

void RequireRendered(const SqlTemplate& made, const std::string& sql,
                     const std::vector<SqlToken>& tokens, SqlTemplate::Kind kind) {
  const dunlin::RenderedSql out =
      made.Render({.table_sql = "\"T\"", .table_qualifier = "\"T\"", .key_columns = {"a"}});
  const LexedSql lexed = dunlin::LexSql(out.sql, KnownIn(kind));
  const std::string both = absl::StrCat(sql, "\n-> ", out.sql);
  FUZZ_REQUIRE(!lexed.problem, both);
  Expected(tokens).RequireSame(Words(lexed.tokens), both);
  for (const SqlToken& token : lexed.tokens) {
    FUZZ_REQUIRE(token.kind != SqlToken::Kind::kPlaceholder && !token.IsMark(';'), both);
    if (token.kind != SqlToken::Kind::kPositional) continue;
    size_t number = 0;
    FUZZ_REQUIRE(absl::SimpleAtoi(token.text.substr(1), &number), both);
    FUZZ_REQUIRE(number >= 1 && number <= out.parameters.size(), both);
  }
}

}  // namespace

// The text of a statement is what the target gets, outside its placeholders, and every problem has
// a place in it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string sql(reinterpret_cast<const char*>(data), size);
  for (const auto kind : {SqlTemplate::Kind::kStatement, SqlTemplate::Kind::kExpression}) {
    const LexedSql lexed = RequireLexed(sql, kind);
    const auto parsed = SqlTemplate::ParseOrProblem(sql, {"v"}, kind);
    if (const auto* problem = std::get_if<SqlProblem>(&parsed)) {
      RequireInside(*problem, sql);
    } else {
      FUZZ_REQUIRE(!lexed.problem, sql);
      RequireRendered(std::get<SqlTemplate>(parsed), sql, lexed.tokens, kind);
    }
  }
  return 0;
}
