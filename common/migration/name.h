#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dunlin {

// "<version>_<snake_name>", version = YYYYMMDDHHMMSS (a real date and time is not required, 14
// digits are).
struct MigrationName {
  std::string version;
  std::string snake_name;
  std::string full() const { return version + "_" + snake_name; }
};

// Error: INVALID_ARGUMENT says what was expected.
absl::StatusOr<MigrationName> ParseMigrationName(absl::string_view name);
// From a path: the last part without ".yaml" or ".yml".
absl::StatusOr<MigrationName> MigrationNameOfPath(absl::string_view path);

// SHA-256 of the file's bytes, 64 lower-case hex digits (I9).
std::string DigestOf(absl::string_view bytes);

}  // namespace dunlin
