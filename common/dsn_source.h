#pragma once

#include <string>

#include "absl/status/statusor.h"

#include "common/secret.h"

namespace dunlin {

// A connection string as a flag gives it: itself, or "@FILE" whose first line it is, so that no
// secret is in argv, which every user of the machine can read. Errors name the file, never its
// contents.
absl::StatusOr<Secret> ReadDsn(const std::string& text);

}  // namespace dunlin
