#include "common/text/bytes.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace dunlin {
namespace {

constexpr std::array<std::pair<const char*, double>, 9> kUnits = {{{"KiB", 1024.0},
                                                                   {"MiB", 1048576.0},
                                                                   {"GiB", 1073741824.0},
                                                                   {"TiB", 1099511627776.0},
                                                                   {"kB", 1e3},
                                                                   {"MB", 1e6},
                                                                   {"GB", 1e9},
                                                                   {"TB", 1e12},
                                                                   {"B", 1.0}}};
// More than any disk; keeps the arithmetic exact.
constexpr double kMaxBytes = 1e15;

}  // namespace

absl::StatusOr<int64_t> ParseBytes(absl::string_view text) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("expected a size such as 500kB, 50MB or 1.5GB, found '", text, "'"));
  };
  absl::string_view number = absl::StripAsciiWhitespace(text);
  double unit = 1;
  for (const auto& [name, bytes] : kUnits) {
    if (!absl::EndsWithIgnoreCase(number, name)) continue;
    unit = bytes;
    number.remove_suffix(absl::string_view(name).size());
    break;
  }
  number = absl::StripAsciiWhitespace(number);
  double value = 0;
  const bool plain = !number.empty() && std::all_of(number.begin(), number.end(), [](char c) {
    return absl::ascii_isdigit(c) || c == '.';
  });
  if (!plain || !absl::SimpleAtod(number, &value)) return bad();
  value *= unit;
  if (value < 1 || value > kMaxBytes) return bad();
  return static_cast<int64_t>(value);
}

std::string HumanBytes(double bytes) {
  for (const auto& [name, unit] : {std::pair{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}}) {
    if (bytes >= unit) return absl::StrFormat("%.3g %s", bytes / unit, name);
  }
  return absl::StrFormat("%.0f B", bytes);
}

}  // namespace dunlin
