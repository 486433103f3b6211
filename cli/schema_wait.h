// Nothing is started inside a schema migration: `start`, `up`, `local` and `redo` look first.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/client.h"
#include "cli/context.h"

namespace dunlin::cli {

// --schema-wait: a duration; nothing = do not look (`none`). INVALID_ARGUMENT otherwise.
absl::StatusOr<std::optional<absl::Duration>> ParseSchemaWait(const std::string& text);

// By target: the tables that are to be worked on, as in the files.
using TablesByTarget = std::map<std::string, std::set<std::string>>;

// Waits up to `wait` until no schema migration is at work on any of the targets; says on standard
// error what it waits for. Answers what is in the way where it still is, in words. A target that
// cannot be asked is in nobody's way: its runs wait for an agent, and are told so.
std::map<std::string, std::string> WaitForSchemaMigrations(Client& client,
                                                           const GlobalOptions& global,
                                                           const TablesByTarget& wanted,
                                                           absl::Duration wait);

// Why `migration` is not started on `target`: `locks` are in the way after --schema-wait.
// PERMISSION_DENIED (SCHEMA_MIGRATION).
absl::Status SchemaMigrationInTheWay(const std::string& migration, const std::string& target,
                                     const std::string& locks, const std::string& schema_wait);

}  // namespace dunlin::cli
