#include "absl/strings/match.h"
#include "absl/time/time.h"

#include "common/text/duration.h"
#include "tests/fuzz/fuzz.h"

// A duration is what was written: within its limits, and the same when it is written and read
// again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<absl::Duration> parsed = dunlin::ParseDuration(text);
  if (!parsed.ok()) {
    FUZZ_REQUIRE(absl::StrContains(parsed.status().message(), "expected"), text);
    return 0;
  }
  FUZZ_REQUIRE(*parsed >= absl::ZeroDuration() && *parsed <= absl::Hours(24 * 3661), text);
  const std::string written = dunlin::FormatDuration(*parsed);
  const absl::StatusOr<absl::Duration> again = dunlin::ParseDuration(written);
  FUZZ_REQUIRE(again.ok() && *again == *parsed, text + " was written as " + written);
  FUZZ_REQUIRE(!dunlin::HumanDuration(*parsed).empty(), text);
  return 0;
}
