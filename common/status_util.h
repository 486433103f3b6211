#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace dunlin {

// Puts context before the message, keeps code and payloads: Annotate(s, "claiming shard 42").
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// A stable, UPPER_SNAKE reason for programs (proto ErrorDetail.reason); survives the RPC boundary.
absl::Status WithReason(absl::Status status, absl::string_view reason);
// Empty when there is none.
std::string ReasonOf(const absl::Status& status);

}  // namespace dunlin
