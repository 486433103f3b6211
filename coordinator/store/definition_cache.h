// Migration files as they were parsed before: each heartbeat of an agent that measures, and each
// decision of pace, asks for those of the runs in work.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/migration/definition.h"

namespace dunlin::coordinator {

// `name` is what errors call the file. Keeps the files of some hundred runs, and begins anew
// beyond. INVALID_ARGUMENT, which is not kept, for a file with faults. Thread safety: any thread.
absl::StatusOr<std::shared_ptr<const Definition>> ParsedBefore(const std::string& name,
                                                               const std::string& bytes);

}  // namespace dunlin::coordinator
