// What can be told of a statement from its tokens alone. The target's parser has the last word.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "common/migration/sql_lexer.h"

namespace dunlin {

struct StatementFacts {
  std::string verb;       // INSERT, UPDATE, DELETE, MERGE or SELECT: of the main query, behind WITH
  bool modifies = false;  // the verb or a CTE changes rows
  std::optional<SqlProblem> problem;
};

// Problems (trap 12): no statement, more than one, another verb, SELECT … INTO (which creates a
// table). A `;` at the end is fine.
StatementFacts ExamineStatement(absl::string_view sql, const std::vector<SqlToken>& tokens);

}  // namespace dunlin
