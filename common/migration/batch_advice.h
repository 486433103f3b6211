#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "common/migration/sql_lexer.h"

namespace dunlin {

// Where `:batch` does not bind what it seems to (trap 12): beside an OR in the same WHERE or ON,
// under NOT, in another clause than WHERE or ON, in the ON of an outer join. Heuristics on tokens:
// a sentence each, for `check`.
std::vector<std::string> AdviseOnBatch(absl::string_view sql, const std::vector<SqlToken>& tokens);

}  // namespace dunlin
