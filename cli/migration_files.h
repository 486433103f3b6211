// Migration files as a deploy brings them: read, put into order, looked at as a whole.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/migration/definition.h"

namespace dunlin::cli {

struct MigrationFile {
  std::string name;  // "<version>_<snake_name>"
  std::string path;
  std::string bytes;
  Definition definition;
  bool has_test = false;  // <name>.test.yaml lies beside it
};

// INVALID_ARGUMENT with all problems of all files, one a line.
absl::StatusOr<std::vector<MigrationFile>> ReadFiles(const std::vector<std::string>& paths);

// The migrations of a folder in version order: its *.yaml and *.yml but the tests.
// INVALID_ARGUMENT: no such folder, two files of one version, or what ReadFiles says.
absl::StatusOr<std::vector<MigrationFile>> ReadFolder(const std::string& folder);

// A sentence when the files wait for each other in a circle, by `depends_on` or by version order;
// empty = they do not. `files` in version order. Pure.
std::string FindCircle(const std::vector<MigrationFile>& files);

// The file that stands in for `name`; nullptr = none.
const MigrationFile* FindStandIn(const std::vector<MigrationFile>& files, const std::string& name);

// --at: "22:00" (the next such time), "2026-11-23 22:00", both in `zone`; "2026-11-23T22:00:00Z";
// "+2h". INVALID_ARGUMENT says what was expected.
absl::StatusOr<absl::Time> ParseStartTime(absl::string_view text, absl::Time now,
                                          absl::TimeZone zone);

}  // namespace dunlin::cli
