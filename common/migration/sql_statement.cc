#include "common/migration/sql_statement.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "common/migration/significant_tokens.h"

namespace dunlin {
namespace {

using Kind = SqlToken::Kind;

// Whether the body of a CTE begins at `i`, behind its AS: `(`, `MATERIALIZED (` or `NOT
// MATERIALIZED (`. Sets `open`.
bool IsCteBody(const SignificantTokens& tokens, size_t i, size_t& open) {
  if (tokens[i].IsWord("NOT")) ++i;
  if (tokens[i].IsWord("MATERIALIZED")) ++i;
  open = i;
  return tokens[i].IsMark('(');
}

// The main query's first token behind the WITH at `with`.
size_t SkipCtes(const SignificantTokens& tokens, size_t with) {
  size_t i = with + 1;
  while (i < tokens.size()) {
    size_t open = 0;
    while (i < tokens.size() && !(tokens[i].IsWord("AS") && IsCteBody(tokens, i + 1, open))) ++i;
    if (i >= tokens.size()) break;
    i = tokens.Skip(open);
    if (tokens[i].IsMark(',')) continue;
    if (!tokens[i].IsWord("SEARCH") && !tokens[i].IsWord("CYCLE")) return i;
    // SEARCH … SET x and CYCLE … USING x name columns only: look for the next body or for the main
    // verb.
    while (i < tokens.size() && !IsSqlVerb(tokens[i]) &&
           !(tokens[i].IsWord("AS") && IsCteBody(tokens, i + 1, open))) {
      ++i;
    }
    if (IsSqlVerb(tokens[i])) return i;
  }
  return tokens.size();
}

// The token that is the statement's verb: behind opening parentheses and WITH.
size_t FindVerb(const SignificantTokens& tokens) {
  size_t i = 0;
  while (i < tokens.size()) {
    if (tokens[i].IsMark('(')) {
      ++i;
    } else if (tokens[i].IsWord("WITH")) {
      i = SkipCtes(tokens, i);
    } else {
      break;
    }
  }
  return i;
}

// INSERT INTO, DELETE FROM and MERGE INTO anywhere; UPDATE where a sub-statement begins, not in FOR
// UPDATE.
bool ChangesRows(const SignificantTokens& tokens, size_t i) {
  const SqlToken& token = tokens[i];
  const SqlToken& next = tokens[i + 1];
  if (token.IsWord("INSERT") || token.IsWord("MERGE")) return next.IsWord("INTO");
  if (token.IsWord("DELETE")) return next.IsWord("FROM");
  if (!token.IsWord("UPDATE")) return false;
  const SqlToken& before = tokens.Before(i);
  return (before.IsMark('(') || before.IsMark(')')) &&
         (next.kind == Kind::kWord || next.kind == Kind::kQuotedIdentifier ||
          next.kind == Kind::kPlaceholder);
}

std::string FoundInstead(const SqlToken& token) {
  return absl::StrCat(
      "a statement begins with INSERT, UPDATE, DELETE, MERGE, SELECT or WITH, not with '",
      token.kind == Kind::kWord ? absl::AsciiStrToUpper(token.text) : std::string(token.text), "'");
}

}  // namespace

StatementFacts ExamineStatement(absl::string_view sql, const std::vector<SqlToken>& all) {
  StatementFacts facts;
  const auto fail = [&](size_t offset, std::string message) {
    facts.problem = MakeSqlProblem(sql, offset, std::move(message));
    return facts;
  };
  const SignificantTokens tokens(all);
  size_t end = tokens.size();
  while (end > 0 && tokens[end - 1].IsMark(';')) --end;
  if (end == 0) return fail(0, "there is no statement");
  for (size_t i = 0; i < end; ++i) {
    if (tokens[i].IsMark(';')) {
      return fail(tokens[i].offset,
                  "a second statement begins behind ';'; write one statement for "
                  "each item of the list");
    }
  }
  const size_t verb = FindVerb(tokens);
  if (verb >= end) return fail(tokens[0].offset, "the statement has no main query");
  if (!IsSqlVerb(tokens[verb])) return fail(tokens[verb].offset, FoundInstead(tokens[verb]));
  facts.verb = absl::AsciiStrToUpper(tokens[verb].text);
  facts.modifies = facts.verb != "SELECT";
  for (size_t i = 0; i < end; ++i) {
    facts.modifies = facts.modifies || ChangesRows(tokens, i);
    const SqlToken& before = tokens.Before(i);
    if (tokens[i].IsWord("INTO") && !before.IsWord("INSERT") && !before.IsWord("MERGE") &&
        !before.IsWord("AS") && !before.IsMark('.')) {
      return fail(tokens[i].offset,
                  "SELECT … INTO creates a table; a migration changes rows only, write INSERT INTO "
                  "… SELECT into a table that exists");
    }
  }
  return facts;
}

}  // namespace dunlin
