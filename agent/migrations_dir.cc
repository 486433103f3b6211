#include "agent/migrations_dir.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"

#include "common/fault.h"
#include "common/limits.h"
#include "common/migration/name.h"
#include "common/migration/parser.h"
#include "common/status_macros.h"

namespace dunlin::agent {

DefinitionSource::DefinitionSource(std::string directory, bool any_migration)
    : directory_(std::move(directory)), any_migration_(any_migration) {}

absl::Status DefinitionSource::CheckAllowed(const RunSpec& run) const {
  if (DUNLIN_MUTANT("digest_not_compared")) return absl::OkStatus();
  if (DigestOf(run.definition) != run.digest) {
    return absl::FailedPreconditionError(
        absl::StrCat("the coordinator sent a definition of ", run.migration,
                     " whose digest is not the one that the run recorded; this agent refuses it"));
  }
  if (directory_.empty()) {
    if (any_migration_) return absl::OkStatus();
    return absl::FailedPreconditionError("this agent has no --migrations-dir and runs nothing");
  }
  std::error_code error;
  for (const char* ending : {".yaml", ".yml"}) {
    const std::filesystem::path path = std::filesystem::path(directory_) / (run.migration + ending);
    if (std::filesystem::file_size(path, error) > kMaxDefinitionBytes || error) continue;
    std::ifstream file(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
    if (DigestOf(bytes) == run.digest) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the agent's --migrations-dir has no ", run.migration, ".yaml with digest ",
                   run.digest.substr(0, 12),
                   "; deploy the agents with the file that the run was started with, then resume"));
}

absl::StatusOr<std::shared_ptr<const Definition>> DefinitionSource::Get(const RunSpec& run) {
  {
    MutexLock lock(mutex_);
    const auto it = by_digest_.find(run.digest);
    if (it != by_digest_.end()) return it->second;
  }
  DUNLIN_RETURN_IF_ERROR(CheckAllowed(run));
  DUNLIN_ASSIGN_OR_RETURN(Definition parsed,
                          ParseMigrationOrError(run.migration + ".yaml", run.definition));
  auto definition = std::make_shared<const Definition>(std::move(parsed));
  MutexLock lock(mutex_);
  if (by_digest_.size() >= kMaxCached) by_digest_.clear();
  by_digest_[run.digest] = definition;
  return definition;
}

}  // namespace dunlin::agent
