#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dunlin {

// "500kB", "50MB", "1.5GB", "2TB", "4096" (bytes); powers of a thousand, KiB, MiB, GiB and TiB of
// 1024. At least 1 byte. Errors: INVALID_ARGUMENT says what was expected.
absl::StatusOr<int64_t> ParseBytes(absl::string_view text);

// For people: "812 B", "50 MB", "1.24 GB".
std::string HumanBytes(double bytes);

}  // namespace dunlin
