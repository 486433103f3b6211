#include "common/text/duration.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace dunlin {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
// Longer is a typing error, and arithmetic on it stays far from overflow.
constexpr absl::Duration kMaxDuration = absl::Hours(24 * 3660);

absl::Status BadDuration(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", text,
                   "' is not a duration; expected a number and a unit (ms, s, m, h or d), such as "
                   "250ms, 1.5s or 7d, in whole milliseconds"));
}

absl::Duration UnitOf(absl::string_view unit) {
  if (unit == "ms") return absl::Milliseconds(1);
  if (unit == "s") return absl::Seconds(1);
  if (unit == "m" || unit == "min") return absl::Minutes(1);
  if (unit == "h") return absl::Hours(1);
  if (unit == "d") return kDay;
  return absl::ZeroDuration();
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  if (rest.empty()) return BadDuration(text);
  absl::Duration total = absl::ZeroDuration();
  while (!rest.empty()) {
    size_t digits = 0;
    while (digits < rest.size() && (absl::ascii_isdigit(rest[digits]) || rest[digits] == '.'))
      ++digits;
    size_t unit_end = digits;
    while (unit_end < rest.size() && absl::ascii_isalpha(rest[unit_end])) ++unit_end;
    double number = 0;
    const absl::Duration unit = UnitOf(rest.substr(digits, unit_end - digits));
    if (digits == 0 || !absl::SimpleAtod(rest.substr(0, digits), &number) ||
        unit == absl::ZeroDuration()) {
      return BadDuration(text);
    }
    total += unit * number;
    rest.remove_prefix(unit_end);
  }
  if (total > kMaxDuration) return BadDuration(text);
  // Durations are stored and shown in milliseconds: half of one would become another duration.
  const absl::Duration exact = absl::Floor(total + absl::Microseconds(500), absl::Milliseconds(1));
  if (absl::AbsDuration(total - exact) > absl::Microseconds(1)) return BadDuration(text);
  return exact;
}

std::string FormatDuration(absl::Duration duration) {
  if (duration <= absl::ZeroDuration()) return "0s";
  std::string out;
  const std::array<std::pair<absl::Duration, const char*>, 5> units = {
      {{kDay, "d"},
       {absl::Hours(1), "h"},
       {absl::Minutes(1), "m"},
       {absl::Seconds(1), "s"},
       {absl::Milliseconds(1), "ms"}}};
  for (const auto& [unit, name] : units) {
    const int64_t count = absl::IDivDuration(duration, unit, &duration);
    if (count > 0) absl::StrAppend(&out, count, name);
  }
  return out.empty() ? "0s" : out;
}

std::string HumanDuration(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration + absl::Milliseconds(500));
  if (duration < absl::Seconds(1)) return absl::StrCat(absl::ToInt64Milliseconds(duration), " ms");
  if (seconds < 60) return absl::StrCat(seconds, " s");
  const auto with_rest = [](int64_t count, const char* unit, int64_t rest, const char* rest_unit) {
    const std::string whole = absl::StrCat(count, " ", unit);
    return rest == 0 ? whole : absl::StrCat(whole, " ", rest, " ", rest_unit);
  };
  if (seconds < 3600) return with_rest(seconds / 60, "min", seconds % 60, "s");
  if (seconds < 86400) return with_rest(seconds / 3600, "h", seconds % 3600 / 60, "min");
  return with_rest(seconds / 86400, "d", seconds % 86400 / 3600, "h");
}

std::string HumanCount(int64_t count) {
  std::string digits = absl::StrCat(count);
  if (count < 0) digits.erase(0, 1);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return count < 0 ? absl::StrCat("-", digits) : digits;
}

}  // namespace dunlin
