#include "common/migration/batch_advice.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "common/migration/significant_tokens.h"

namespace dunlin {
namespace {

using Kind = SqlToken::Kind;

enum class Clause { kFilters, kOuterJoinOn, kSelectList, kFrom, kOther };

// Enough to mend; it also keeps time and memory linear in the statement, whatever its nesting.
constexpr size_t kMaxAdvice = 16;

// Follows the statement through its brackets; each open one is a level.
class BatchAdvisor {
 public:
  BatchAdvisor(absl::string_view sql, const std::vector<SqlToken>& all) : sql_(sql), tokens_(all) {}

  std::vector<std::string> Run() {
    levels_.push_back({.kind = LevelKind::kQuery});
    for (size_t i = 0; i < tokens_.size(); ++i) Visit(i);
    while (!levels_.empty()) Pop();
    return std::move(advice_);
  }

 private:
  enum class LevelKind { kQuery, kGroup, kCase };
  struct Level {
    LevelKind kind;
    Clause clause = Clause::kOther;
    std::string clause_word = {};
    bool has_or = false;
    bool under_not = false;
    std::vector<size_t> batches = {};  // offsets
  };

  void Advise(size_t offset, absl::string_view what) {
    if (advice_.size() >= kMaxAdvice) return;
    const SqlProblem place = MakeSqlProblem(sql_, offset, "");
    std::string sentence =
        absl::StrCat(":batch at ", place.line, ":", place.column, " stands ", what);
    if (std::find(advice_.begin(), advice_.end(), sentence) == advice_.end()) {
      advice_.push_back(std::move(sentence));
    }
  }

  void EndClause(Level& level) {
    if (level.has_or) {
      for (const size_t offset : level.batches) {
        Advise(offset,
               absl::StrCat("beside an OR in the same ", level.clause_word,
                            ": rows that the other side of the OR finds are not bound to the "
                            "range, every batch changes them again; put the OR in parentheses"));
      }
    }
    level.has_or = false;
  }

  void Begin(Clause clause, absl::string_view word) {
    Level& level = levels_.back();
    if (level.kind != LevelKind::kQuery) return;
    EndClause(level);
    level.batches.clear();
    level.clause = clause;
    level.clause_word = std::string(word);
  }

  void Pop() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    EndClause(level);
    if (level.under_not) {
      for (const size_t offset : level.batches) AdviseNot(offset);
    }
    // A group of conditions is part of the condition around it; a sub-select binds its own rows.
    if (level.kind == LevelKind::kGroup && !levels_.empty()) {
      std::vector<size_t>& outer = levels_.back().batches;
      for (const size_t offset : level.batches) {
        if (outer.size() < kMaxAdvice) outer.push_back(offset);
      }
    }
  }

  void AdviseNot(size_t offset) {
    Advise(offset, "under NOT: the statement then works on the rows outside the range");
  }

  static bool BeginsQuery(const SqlToken& token) {
    return IsSqlVerb(token) || token.IsWord("WITH") || token.IsWord("VALUES");
  }

  void Open(size_t i) {
    Level level = {.kind = LevelKind::kGroup,
                   .clause = levels_.back().clause,
                   .clause_word = levels_.back().clause_word};
    level.under_not = tokens_.Before(i).IsWord("NOT");
    if (BeginsQuery(tokens_[i + 1])) {
      level = {.kind = LevelKind::kQuery};
    } else if (tokens_.Before(i).IsWord("FILTER")) {
      level.clause = Clause::kOther;
      level.clause_word = "FILTER";
    }
    levels_.push_back(std::move(level));
  }

  void Visit(size_t i) {
    const SqlToken& token = tokens_[i];
    if (token.IsMark('(')) return Open(i);
    if (token.IsMark(')')) {
      while (levels_.size() > 1 && levels_.back().kind == LevelKind::kCase) Pop();
      if (levels_.size() > 1) Pop();
    } else if (token.kind == Kind::kPlaceholder && token.placeholder() == "batch") {
      VisitBatch(i);
    } else if (token.kind == Kind::kWord && !tokens_.Before(i).IsMark('.')) {
      VisitWord(i);
    }
  }

  void VisitWord(size_t i) {
    const SqlToken& token = tokens_[i];
    const SqlToken& before = tokens_.Before(i);
    const bool in_case = levels_.back().kind == LevelKind::kCase;
    if (token.IsWord("CASE")) {
      levels_.push_back(
          {.kind = LevelKind::kCase, .clause = Clause::kOther, .clause_word = "CASE"});
    } else if (token.IsWord("END") && in_case) {
      Pop();
    } else if (token.IsWord("OR")) {
      levels_.back().has_or = true;
    } else if (token.IsWord("WHERE")) {
      Begin(Clause::kFilters, "WHERE");
    } else if (token.IsWord("ON") && !before.IsWord("DISTINCT")) {
      Begin(outer_join_ ? Clause::kOuterJoinOn : Clause::kFilters, "ON");
    } else if (token.IsWord("SELECT")) {
      Begin(Clause::kSelectList, "SELECT list");
    } else if (token.IsWord("JOIN")) {
      outer_join_ = before.IsWord("LEFT") || before.IsWord("RIGHT") || before.IsWord("FULL") ||
                    before.IsWord("OUTER");
      Begin(Clause::kFrom, "JOIN");
    } else if (IsFrom(i) || token.IsWord("USING")) {
      outer_join_ = false;
      Begin(Clause::kFrom, "FROM");
    } else if (BeginsOtherClause(token)) {
      Begin(Clause::kOther, absl::AsciiStrToUpper(token.text));
    }
  }

  // FROM as a clause, not in `a IS [NOT] DISTINCT FROM b`.
  bool IsFrom(size_t i) const {
    if (!tokens_[i].IsWord("FROM")) return false;
    return !(tokens_.Before(i).IsWord("DISTINCT") &&
             (tokens_.Before(i, 2).IsWord("IS") || tokens_.Before(i, 2).IsWord("NOT")));
  }

  static bool BeginsOtherClause(const SqlToken& token) {
    for (const absl::string_view word :
         {"SET", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR", "WINDOW", "VALUES",
          "RETURNING", "UNION", "INTERSECT", "EXCEPT", "WHEN", "THEN"}) {
      if (token.IsWord(word)) return true;
    }
    return false;
  }

  void VisitBatch(size_t i) {
    Level& level = levels_.back();
    const size_t offset = tokens_[i].offset;
    if (level.batches.size() < kMaxAdvice) level.batches.push_back(offset);
    if (tokens_.Before(i).IsWord("NOT")) AdviseNot(offset);
    if (level.clause == Clause::kOuterJoinOn) {
      Advise(offset,
             "in the ON of an outer join: rows of the outer side stay, whatever the range; "
             "put it into WHERE");
    } else if (level.clause != Clause::kFilters) {
      Advise(offset,
             absl::StrCat("in ", level.clause_word.empty() ? "no clause" : level.clause_word,
                          ", where it does not choose rows; put it into WHERE or ON, AND-ed "
                          "at the top"));
    }
  }

  const absl::string_view sql_;
  const SignificantTokens tokens_;
  bool outer_join_ = false;  // the JOIN that was seen last
  std::vector<Level> levels_;
  std::vector<std::string> advice_;
};

}  // namespace

std::vector<std::string> AdviseOnBatch(absl::string_view sql, const std::vector<SqlToken>& tokens) {
  return BatchAdvisor(sql, tokens).Run();
}

}  // namespace dunlin
