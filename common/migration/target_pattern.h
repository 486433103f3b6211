#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace dunlin {

// Whether an entry of `target:` may stand for several targets: `*` or `%`, each any characters.
bool IsTargetPattern(absl::string_view entry);
bool TargetMatches(absl::string_view entry, absl::string_view name);

// The targets that `target:` stands for: every plain name as it is, known or not, and of the
// `known` ones those that a pattern matches. In the order of the entries, then of `known`; each
// once.
std::vector<std::string> ExpandTargets(const std::vector<std::string>& entries,
                                       const std::vector<std::string>& known);

}  // namespace dunlin
