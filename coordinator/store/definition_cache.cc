#include "coordinator/store/definition_cache.h"

#include <map>
#include <utility>

#include "common/migration/parser.h"
#include "common/mutex.h"
#include "common/status_macros.h"

namespace dunlin::coordinator {
namespace {

constexpr size_t kMaxKept = 256;

struct Kept {
  Mutex mutex;
  // By name and bytes, not by a digest: nothing else can be mistaken for them.
  std::map<std::pair<std::string, std::string>, std::shared_ptr<const Definition>> files;
};
Kept& Files() {
  static auto* kept = new Kept;
  return *kept;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Definition>> ParsedBefore(const std::string& name,
                                                               const std::string& bytes) {
  Kept& kept = Files();
  {
    MutexLock lock(kept.mutex);
    const auto found = kept.files.find({name, bytes});
    if (found != kept.files.end()) return found->second;
  }
  DUNLIN_ASSIGN_OR_RETURN(Definition parsed, ParseMigrationOrError(name, bytes));
  auto made = std::make_shared<const Definition>(std::move(parsed));
  MutexLock lock(kept.mutex);
  if (kept.files.size() >= kMaxKept) kept.files.clear();
  kept.files[{name, bytes}] = made;
  return made;
}

}  // namespace dunlin::coordinator
