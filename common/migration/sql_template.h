// Statements with placeholders: `:batch`, `:batch(alias)`, `:table`, `:started_at` and declared
// parameters become bound parameters or, for `:table` alone, a quoted identifier. Nothing else is
// ever put into SQL as text.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/migration/identifier.h"
#include "common/migration/key_range.h"
#include "common/migration/sql_lexer.h"

namespace dunlin {

struct RenderContext {
  std::string table_sql;        // the relation, quoted and qualified: what `:table` becomes
  std::string table_qualifier;  // the relation's own name, quoted, unqualified: qualifies columns
                                // of a bare `:batch`
  std::vector<std::string> key_columns;  // quoted identifiers
  KeyRangeShape range = {};
  int first_parameter = 1;  // above 1 for an expression inside a statement that has its own
};

struct RenderedSql {
  std::string sql;  // with $1 … $n, or from `first_parameter` on
  // parameters[i] is $(first_parameter + i); each appears once.
  std::vector<ParameterRef> parameters;
};

// A statement split at its placeholders, which are found by a lexer that knows comments (nested),
// strings ('', E'', dollar quotes, U&''), quoted identifiers, casts (`x::batch`), slices (`[1:n]`),
// `:=` and operators such as `?|`.
class SqlTemplate {
 public:
  // `declared` = names of parameters. Errors (INVALID_ARGUMENT, message says line and column within
  // `sql`, 1-based, as "line:column: …"): an unknown placeholder, a `$1`, an unterminated string,
  // several statements in one text, a statement that is not INSERT, UPDATE, DELETE, MERGE or SELECT
  // (WITH counts as what follows it; trap 12).
  static absl::StatusOr<SqlTemplate> Parse(absl::string_view sql,
                                           const std::vector<std::string>& declared);
  // An expression such as `where:`; only named parameters are allowed, no statement check.
  static absl::StatusOr<SqlTemplate> ParseExpression(absl::string_view sql,
                                                     const std::vector<std::string>& declared);
  // Either of them, for callers that show the place in a file.
  enum class Kind { kStatement, kExpression };
  static std::variant<SqlTemplate, SqlProblem> ParseOrProblem(
      absl::string_view sql, const std::vector<std::string>& declared, Kind kind);

  bool uses_batch() const;
  bool uses_table() const;
  // Statement's verb in upper case: INSERT, UPDATE, DELETE, MERGE or SELECT (of the main query,
  // behind WITH); empty for expressions.
  const std::string& verb() const;
  // Whether it changes rows: by its verb, or in a CTE of a SELECT.
  bool modifies() const { return modifies_; }

  // `:batch` becomes KeyRangeSql().
  RenderedSql Render(const RenderContext& context) const;

  // Advice for `check` (trap 12): sentences, such as that an OR beside :batch leaves rows unbound.
  // Empty = nothing found.
  std::vector<std::string> Warnings() const;

 private:
  struct Piece {
    enum class Kind { kText, kBatch, kTable, kNamed };
    Kind kind;
    std::string text;  // the text, the alias of :batch (as in the file; empty = none), or the
                       // parameter's name
  };
  class Builder;
  bool Uses(Piece::Kind kind) const;

  std::vector<Piece> pieces_;
  std::string verb_;
  bool modifies_ = false;
  std::vector<std::string> warnings_;
};

}  // namespace dunlin
