#pragma once

#include <cstddef>
#include <vector>

#include "common/migration/sql_lexer.h"

namespace dunlin {

// The tokens that say something, with look-around that needs no bounds checks: outside is a token
// that is like none. Borrows from the tokens it was made of.
class SignificantTokens {
 public:
  explicit SignificantTokens(const std::vector<SqlToken>& all) {
    for (const SqlToken& token : all) {
      if (token.significant()) tokens_.push_back(&token);
    }
  }
  size_t size() const { return tokens_.size(); }
  const SqlToken& operator[](size_t i) const { return i < tokens_.size() ? *tokens_[i] : none_; }
  const SqlToken& Before(size_t i, size_t steps = 1) const {
    return i >= steps ? (*this)[i - steps] : none_;
  }
  // The position behind the parenthesis that closes the one at `open`.
  size_t Skip(size_t open) const {
    int depth = 0;
    for (size_t i = open; i < size(); ++i) {
      if ((*this)[i].IsMark('(')) ++depth;
      if ((*this)[i].IsMark(')') && --depth == 0) return i + 1;
    }
    return size();
  }

 private:
  const SqlToken none_ = {.kind = SqlToken::Kind::kMark, .text = " ", .offset = 0};
  std::vector<const SqlToken*> tokens_;
};

// INSERT, UPDATE, DELETE, MERGE or SELECT.
inline bool IsSqlVerb(const SqlToken& token) {
  for (const absl::string_view verb : {"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT"}) {
    if (token.IsWord(verb)) return true;
  }
  return false;
}

}  // namespace dunlin
