// Splits SQL into tokens the way PostgreSQL's scan.l does (standard_conforming_strings on), with
// one addition: placeholders, `:name`.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace dunlin {

// A mistake in a piece of SQL. Lines and columns are 1-based; columns count characters of UTF-8.
struct SqlProblem {
  size_t offset = 0;  // in bytes
  int line = 0;
  int column = 0;
  std::string message;
};
SqlProblem MakeSqlProblem(absl::string_view sql, size_t offset, std::string message);

struct SqlToken {
  enum class Kind {
    kSpace,
    kComment,
    kWord,              // keywords and unquoted identifiers
    kQuotedIdentifier,  // "x", U&"x"
    kString,            // 'x', E'x', B'x', X'x', U&'x', $tag$x$tag$, with their continuation lines
    kNumber,
    kPositional,   // $1
    kPlaceholder,  // :name
    kOperator,     // also :: and :=
    kMark,         // one character: ( ) [ ] , ; . : and whatever else stands alone
  };
  Kind kind;
  absl::string_view text;  // borrowed from the SQL
  size_t offset;

  // Whether it says something: neither space nor comment.
  bool significant() const { return kind != Kind::kSpace && kind != Kind::kComment; }
  // Whether it is this keyword, given in upper case.
  bool IsWord(absl::string_view upper) const;
  bool IsMark(char c) const { return kind == Kind::kMark && text.front() == c; }
  // A placeholder's name, without the colon.
  absl::string_view placeholder() const { return text.substr(1); }
};

struct LexedSql {
  std::vector<SqlToken> tokens;  // their texts joined are the SQL, unless there is a problem
  std::optional<SqlProblem> problem;
};

// Problems: a string, quoted identifier, dollar quote, comment or bracket that does not end, a
// bracket too many, a NUL byte. `known` = placeholders that exist; it decides `x[:n]` only, which
// is the parameter n when there is one, else a slice from the beginning to column n. `x[1:n]` is
// always a slice, `ARRAY[:n]` and `x[1, :n]` never are.
LexedSql LexSql(absl::string_view sql, const std::vector<std::string>& known);

bool IsSqlSpace(char c);
bool IsIdentifierStart(char c);
bool IsIdentifierPart(char c);

}  // namespace dunlin
