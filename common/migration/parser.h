#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "common/migration/definition.h"

namespace dunlin {

// One mistake in a file. `ToString()`: "db/x.yaml:7:3: limits.batch_time: '100' is not a duration;
// expected …".
struct FileProblem {
  std::string file;
  int line = 0;         // 1-based; 0 = the file as a whole
  int column = 0;       // 1-based
  std::string field;    // dotted path; empty when the YAML itself is broken
  std::string message;  // what is wrong and what was expected
  std::string ToString() const;
};

struct ParseResult {
  Definition definition;  // meaningful only when `problems` is empty
  std::vector<FileProblem> problems;
  bool ok() const { return problems.empty(); }
};

// Parses and validates the text of a migration file. Never throws, never stops at the first mistake
// where it can go on. `file` is only for messages. Pure: no I/O. Thread safety: any thread.
ParseResult ParseMigration(absl::string_view file, absl::string_view text);

// The same, for callers that only go on with a valid one. Error: INVALID_ARGUMENT, all problems,
// one a line.
absl::StatusOr<Definition> ParseMigrationOrError(absl::string_view file, absl::string_view text);

}  // namespace dunlin
