#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "common/pg/connection.h"

namespace dunlin::pg {

// In test builds only: how tests name a call to make it fail (common/call_fault.h). The session's
// kind and what it runs, as "dunlin/shard d_begin+d_fence"; statements go by their names, others by
// their first words.
std::string CallLabel(absl::string_view application_name, const std::vector<Command>& commands);
std::string CallLabel(absl::string_view application_name, absl::string_view sql);

}  // namespace dunlin::pg
