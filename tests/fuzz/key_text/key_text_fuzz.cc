#include <algorithm>
#include <vector>

#include "common/key_text.h"
#include "common/pg/types.h"
#include "coordinator/logic/coverage.h"
#include "tests/fuzz/fuzz.h"

namespace {

using dunlin::KeyText;
using dunlin::coordinator::FindCoverageGap;
using dunlin::coordinator::Range;
using dunlin::pg::Value;

// A key comes out of the store as it went in, whatever its columns hold.
void RequireRoundTrip(const std::vector<Value>& values) {
  const std::string text = dunlin::pg::EncodeNullableTextArray(values);
  std::vector<Value> decoded;
  FUZZ_REQUIRE(dunlin::pg::DecodeTextArray(text, decoded).ok() && decoded == values, text);
}

// What is not ours may be refused, but what is read is read as it would be written.
void RequireReadable(const std::string& text) {
  std::vector<Value> decoded;
  if (dunlin::pg::DecodeTextArray(text, decoded).ok()) RequireRoundTrip(decoded);
}

// I2: a chain of ranges is covered in any order, and none of its ranges may be missing or doubled.
void RequireCoverage(const std::vector<std::string>& keys, unsigned first) {
  std::vector<Range> ranges;
  dunlin::OptionalKey lower;
  for (const std::string& key : keys) {
    const KeyText upper({key, std::string()});
    ranges.insert(ranges.begin() + static_cast<ptrdiff_t>(first % (ranges.size() + 1)),
                  Range{.relation = "r", .lower = lower, .upper = upper});
    lower = upper;
  }
  if (ranges.empty()) return;
  FUZZ_REQUIRE(FindCoverageGap(ranges).empty(), FindCoverageGap(ranges));
  const size_t at = first % ranges.size();
  std::vector<Range> doubled = ranges;
  doubled.push_back(ranges[at]);
  FUZZ_REQUIRE(!FindCoverageGap(doubled).empty(), "a range stands twice");
  // Without its last range a chain only ends sooner: what the largest key is only the target knows.
  const bool last = ranges[at].upper == lower;
  ranges.erase(ranges.begin() + static_cast<ptrdiff_t>(at));
  if (!last) FUZZ_REQUIRE(!FindCoverageGap(ranges).empty(), "a range is missing");
}

}  // namespace

// The first byte is where ranges stand, the lines are the columns of a key and the keys of a chain.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dunlin::fuzz::Input input(data, size);
  const unsigned first = input.Byte();
  RequireReadable(input.Rest());
  std::vector<Value> values;
  std::vector<std::string> keys;
  while (!input.empty() && values.size() < 64) {
    const std::string line = input.Line();
    values.push_back(line == "NULL" ? Value() : Value(line));
    if (std::find(keys.begin(), keys.end(), line) == keys.end()) keys.push_back(line);
  }
  RequireRoundTrip(values);
  RequireCoverage(keys, first);
  return 0;
}
