#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace dunlin {

// "250ms", "1.5s", "90m", "2h", "7d", "1h30m"; not negative, at most 10 years, in whole
// milliseconds. Errors: INVALID_ARGUMENT says what was expected.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

// The shortest exact form of the same grammar: "250ms", "1m30s", "7d", "0s".
std::string FormatDuration(absl::Duration duration);

// For people, two units at most: "3 s", "4 min 10 s", "2 h 5 min", "3 d 4 h".
std::string HumanDuration(absl::Duration duration);

// "1,234,567"
std::string HumanCount(int64_t count);

}  // namespace dunlin
