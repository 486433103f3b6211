#include "common/migration/sql_lexer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace dunlin {
namespace {

using Kind = SqlToken::Kind;

bool IsOperatorChar(char c) {
  return absl::string_view("~!@#^&|`?+-*/%<>=").find(c) != absl::string_view::npos;
}

// Words behind which a value may begin, so that a colon after them is no slice: `[CASE WHEN a THEN
// :b END]`.
bool IsConnective(const SqlToken& token) {
  for (const absl::string_view word : {"WHEN", "THEN", "ELSE", "AND", "OR", "NOT", "IN", "LIKE",
                                       "ILIKE", "BETWEEN", "FROM", "CASE", "ANY", "ALL", "ARRAY"}) {
    if (token.IsWord(word)) return true;
  }
  return false;
}

class Lexer {
 public:
  Lexer(absl::string_view sql, const std::vector<std::string>& known) : sql_(sql), known_(known) {}

  LexedSql Run() {
    while (!out_.problem && at_ < sql_.size()) LexOne();
    if (!out_.problem && !brackets_.empty()) {
      const Bracket& open = brackets_.back();
      Fail(open.offset, absl::StrCat("'", sql_.substr(open.offset, 1), "' is not closed"));
    }
    return std::move(out_);
  }

 private:
  struct Bracket {
    char open;
    bool array_constructor;  // ARRAY[…]: its elements are values, never slices
    size_t offset;
  };

  char Peek(size_t ahead) const { return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0'; }
  bool At(absl::string_view text) const { return absl::StartsWith(sql_.substr(at_), text); }

  void Fail(size_t offset, std::string message) {
    if (!out_.problem) out_.problem = MakeSqlProblem(sql_, offset, std::move(message));
  }

  // Ends the token that begins at at_.
  void Emit(Kind kind, size_t end) {
    out_.tokens.push_back({.kind = kind, .text = sql_.substr(at_, end - at_), .offset = at_});
    if (out_.tokens.back().significant()) last_ = out_.tokens.size();
    at_ = end;
  }

  const SqlToken* LastSignificant() const { return last_ == 0 ? nullptr : &out_.tokens[last_ - 1]; }

  template <typename Predicate>
  size_t EndOfRun(size_t from, Predicate predicate) const {
    while (from < sql_.size() && predicate(sql_[from])) ++from;
    return from;
  }

  void LexOne() {
    const char c = sql_[at_];
    const char lower = absl::ascii_tolower(c);
    if (c == '\0') return Fail(at_, "a NUL byte; SQL cannot have one");
    if (IsSqlSpace(c)) return Emit(Kind::kSpace, EndOfRun(at_, IsSqlSpace));
    if (At("--")) return Emit(Kind::kComment, EndOfLine(at_));
    if (At("/*")) return LexBlockComment();
    if (c == '\'') return LexString(1, /*backslashes=*/false);
    if (lower == 'e' && Peek(1) == '\'') return LexString(2, /*backslashes=*/true);
    if ((lower == 'b' || lower == 'x') && Peek(1) == '\'') return LexString(2, false);
    if (lower == 'u' && Peek(1) == '&' && Peek(2) == '\'') return LexString(3, false);
    if (lower == 'u' && Peek(1) == '&' && Peek(2) == '"') return LexQuotedIdentifier(3);
    if (c == '"') return LexQuotedIdentifier(1);
    if (c == '$') return LexDollar();
    if (IsIdentifierStart(c)) return Emit(Kind::kWord, EndOfRun(at_, IsIdentifierPart));
    if (absl::ascii_isdigit(c) || (c == '.' && absl::ascii_isdigit(Peek(1)))) return LexNumber();
    if (c == ':') return LexColon();
    if (IsOperatorChar(c)) return LexOperator();
    return LexMark();
  }

  size_t EndOfLine(size_t from) const {
    return EndOfRun(from, [](char c) { return c != '\n' && c != '\r'; });
  }

  void LexBlockComment() {
    int depth = 0;
    for (size_t at = at_; at + 1 < sql_.size();) {
      if (sql_[at] == '/' && sql_[at + 1] == '*') {
        ++depth;
        at += 2;
      } else if (sql_[at] == '*' && sql_[at + 1] == '/') {
        at += 2;
        if (--depth == 0) return Emit(Kind::kComment, at);
      } else {
        ++at;
      }
    }
    Fail(at_, "a comment /* is not closed; comments nest, each /* needs its */");
  }

  // The position behind the quote that ends the segment which begins at `at`; npos when none does.
  size_t EndOfStringSegment(size_t at, bool backslashes) const {
    while (at < sql_.size()) {
      if (backslashes && sql_[at] == '\\') {
        at += 2;
      } else if (sql_[at] != '\'') {
        ++at;
      } else if (at + 1 < sql_.size() && sql_[at + 1] == '\'') {
        at += 2;
      } else {
        return at + 1;
      }
    }
    return absl::string_view::npos;
  }

  // 'a'<newline>'b' is one string, and an E at its beginning counts for all of it. The position of
  // the next segment's quote, or npos.
  size_t Continuation(size_t at) const {
    bool newline = false;
    while (at < sql_.size()) {
      if (IsSqlSpace(sql_[at])) {
        newline = newline || sql_[at] == '\n' || sql_[at] == '\r';
        ++at;
      } else if (absl::StartsWith(sql_.substr(at), "--")) {
        at = EndOfLine(at);
      } else {
        return newline && sql_[at] == '\'' ? at : absl::string_view::npos;
      }
    }
    return absl::string_view::npos;
  }

  void LexString(size_t prefix, bool backslashes) {
    size_t end = EndOfStringSegment(at_ + prefix, backslashes);
    while (end != absl::string_view::npos) {
      const size_t next = Continuation(end);
      if (next == absl::string_view::npos) return Emit(Kind::kString, end);
      end = EndOfStringSegment(next + 1, backslashes);
    }
    Fail(at_, "a string is not closed");
  }

  void LexQuotedIdentifier(size_t prefix) {
    for (size_t at = at_ + prefix; at < sql_.size(); ++at) {
      if (sql_[at] != '"') continue;
      if (at + 1 >= sql_.size() || sql_[at + 1] != '"') {
        return Emit(Kind::kQuotedIdentifier, at + 1);
      }
      ++at;
    }
    Fail(at_, "a quoted identifier is not closed");
  }

  void LexDollar() {
    if (absl::ascii_isdigit(Peek(1))) {
      return Emit(Kind::kPositional, EndOfRun(at_ + 1, absl::ascii_isdigit));
    }
    size_t tag_end = at_ + 1;
    if (IsIdentifierStart(Peek(1))) {
      tag_end = EndOfRun(tag_end, [](char c) { return c != '$' && IsIdentifierPart(c); });
    }
    if (tag_end >= sql_.size() || sql_[tag_end] != '$') return Emit(Kind::kMark, at_ + 1);
    const absl::string_view tag = sql_.substr(at_, tag_end + 1 - at_);
    const size_t close = sql_.find(tag, tag_end + 1);
    if (close == absl::string_view::npos) {
      return Fail(at_, absl::StrCat("a string that begins with ", tag, " is not closed"));
    }
    Emit(Kind::kString, close + tag.size());
  }

  void LexNumber() {
    size_t end = at_;
    const auto digits = [](char c) { return absl::ascii_isdigit(c) || c == '_'; };
    if (sql_[at_] == '0' && absl::string_view("xXoObB").find(Peek(1)) != absl::string_view::npos &&
        absl::ascii_isxdigit(Peek(2))) {
      end = EndOfRun(at_ + 2, [](char c) { return absl::ascii_isxdigit(c) || c == '_'; });
      return Emit(Kind::kNumber, end);
    }
    end = EndOfRun(end, digits);
    if (end < sql_.size() && sql_[end] == '.') end = EndOfRun(end + 1, digits);
    if (end < sql_.size() && absl::ascii_tolower(sql_[end]) == 'e') {
      size_t exponent = end + 1;
      if (exponent < sql_.size() && (sql_[exponent] == '+' || sql_[exponent] == '-')) ++exponent;
      if (exponent < sql_.size() && absl::ascii_isdigit(sql_[exponent])) {
        end = EndOfRun(exponent, digits);
      }
    }
    Emit(Kind::kNumber, end);
  }

  // Whether the colon at at_, before a name, separates the bounds of a slice.
  bool IsSliceColon(absl::string_view name) const {
    if (brackets_.empty() || brackets_.back().open != '[') return false;
    const SqlToken* last = LastSignificant();  // there is one: the bracket
    if (last->IsMark('[')) {
      return !brackets_.back().array_constructor &&
             std::find(known_.begin(), known_.end(), name) == known_.end();
    }
    switch (last->kind) {
      case Kind::kWord:
        return !IsConnective(*last);
      case Kind::kQuotedIdentifier:
      case Kind::kString:
      case Kind::kNumber:
      case Kind::kPositional:
      case Kind::kPlaceholder:
        return true;
      case Kind::kMark:
        return last->IsMark(')') || last->IsMark(']');
      case Kind::kSpace:
      case Kind::kComment:
      case Kind::kOperator:
        break;
    }
    return false;
  }

  void LexColon() {
    if (Peek(1) == ':' || Peek(1) == '=') return Emit(Kind::kOperator, at_ + 2);
    if (IsIdentifierStart(Peek(1))) {
      const size_t end = EndOfRun(at_ + 1, IsIdentifierPart);
      if (!IsSliceColon(sql_.substr(at_ + 1, end - at_ - 1))) return Emit(Kind::kPlaceholder, end);
    } else if (brackets_.empty()) {
      return Fail(at_, "a ':' stands alone; a placeholder is a colon and a name, such as :batch");
    }
    Emit(Kind::kMark, at_ + 1);
  }

  void LexOperator() {
    size_t end = at_ + 1;
    while (end < sql_.size() && IsOperatorChar(sql_[end]) &&
           !absl::StartsWith(sql_.substr(end), "--") && !absl::StartsWith(sql_.substr(end), "/*")) {
      ++end;
    }
    Emit(Kind::kOperator, end);
  }

  void LexMark() {
    const char c = sql_[at_];
    if (c == '(' || c == '[') {
      const SqlToken* last = LastSignificant();
      const bool inside = !brackets_.empty() && brackets_.back().array_constructor;
      const bool array =
          c == '[' && last != nullptr &&
          (last->IsWord("ARRAY") || (inside && (last->IsMark('[') || last->IsMark(','))));
      brackets_.push_back({.open = c, .array_constructor = array, .offset = at_});
    } else if (c == ')' || c == ']') {
      if (brackets_.empty() || brackets_.back().open != (c == ')' ? '(' : '[')) {
        return Fail(at_, absl::StrCat("'", sql_.substr(at_, 1), "' closes nothing"));
      }
      brackets_.pop_back();
    }
    Emit(Kind::kMark, at_ + 1);
  }

  const absl::string_view sql_;
  const std::vector<std::string>& known_;
  size_t at_ = 0;
  size_t last_ = 0;  // index + 1 of the last significant token
  std::vector<Bracket> brackets_;
  LexedSql out_;
};

}  // namespace

bool IsSqlSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

bool IsIdentifierStart(char c) {
  return absl::ascii_isalpha(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

bool IsIdentifierPart(char c) { return IsIdentifierStart(c) || absl::ascii_isdigit(c) || c == '$'; }

bool SqlToken::IsWord(absl::string_view upper) const {
  return kind == Kind::kWord && absl::EqualsIgnoreCase(text, upper);
}

SqlProblem MakeSqlProblem(absl::string_view sql, size_t offset, std::string message) {
  SqlProblem problem{.offset = offset, .line = 1, .column = 1, .message = std::move(message)};
  for (const char c : sql.substr(0, offset)) {
    if (c == '\n') {
      ++problem.line;
      problem.column = 1;
    } else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) {  // not inside a character
      ++problem.column;
    }
  }
  return problem;
}

LexedSql LexSql(absl::string_view sql, const std::vector<std::string>& known) {
  return Lexer(sql, known).Run();
}

}  // namespace dunlin
