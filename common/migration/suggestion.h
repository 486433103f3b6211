#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace dunlin {

// "; did you mean 'x'?" for the candidate that is a slip of the keyboard away (edit distance,
// swapped neighbours count one); empty when none is.
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace dunlin
