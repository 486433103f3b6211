#include "common/migration/window.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace dunlin {
namespace {

constexpr int kMinutesOfDay = 24 * 60;
constexpr std::array kDayNames = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

absl::Status Unexpected(absl::string_view text, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("expected DAYS HH:MM-HH:MM ZONE, such as \"Mon-Fri 20:00-06:00 "
                   "Europe/Helsinki\"; ",
                   what, " in '", text, "'"));
}

// absl::Weekday counts from Monday.
std::optional<int> DayNumber(absl::string_view name) {
  for (size_t day = 0; day < kDayNames.size(); ++day) {
    if (absl::AsciiStrToLower(name) == kDayNames[day]) return static_cast<int>(day);
  }
  return std::nullopt;
}

// "Fri-Mon,Wed"; empty when it is none.
std::vector<absl::Weekday> ParseDays(absl::string_view text) {
  std::array<bool, 7> chosen = {};
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    if (ends.size() > 2) return {};
    const std::optional<int> first = DayNumber(ends.front()), last = DayNumber(ends.back());
    if (!first || !last) return {};
    for (int day = *first;; day = (day + 1) % 7) {
      chosen[static_cast<size_t>(day)] = true;
      if (day == *last) break;
    }
  }
  std::vector<absl::Weekday> days;
  for (size_t day = 0; day < chosen.size(); ++day) {
    if (chosen[day]) days.push_back(static_cast<absl::Weekday>(day));
  }
  return days;
}

std::optional<int> ParseMinute(absl::string_view text) {
  int hour = 0, minute = 0;
  if (text.size() != 5 || text[2] != ':' || !absl::SimpleAtoi(text.substr(0, 2), &hour) ||
      !absl::SimpleAtoi(text.substr(3), &minute) || hour < 0 || minute < 0 || minute > 59 ||
      hour * 60 + minute > kMinutesOfDay) {
    return std::nullopt;
  }
  return hour * 60 + minute;
}

struct Opening {
  absl::Time from, to;
  absl::TimeZone zone;
};

// That begin within so many days of now, yesterday's included, which may last until today.
std::vector<Opening> OpeningsAround(const std::vector<Window>& windows, absl::Time now) {
  constexpr int kDaysAhead = 9;  // a week, whatever day it is and wherever
  std::vector<Opening> openings;
  for (const Window& window : windows) {
    const absl::CivilDay today = absl::ToCivilDay(now, window.zone);
    for (int ahead = -2; ahead <= kDaysAhead; ++ahead) {
      const absl::CivilDay day = today + ahead;
      const absl::Weekday weekday = absl::GetWeekday(day);
      if (std::find(window.days.begin(), window.days.end(), weekday) == window.days.end()) continue;
      const absl::CivilDay end_day = window.to_minute <= window.from_minute ? day + 1 : day;
      const Opening opening{
          .from = absl::FromCivil(absl::CivilMinute(day) + window.from_minute, window.zone),
          .to = absl::FromCivil(absl::CivilMinute(end_day) + window.to_minute, window.zone),
          .zone = window.zone};
      if (opening.from < opening.to) openings.push_back(opening);
    }
  }
  std::sort(openings.begin(), openings.end(),
            [](const Opening& a, const Opening& b) { return a.from < b.from; });
  return openings;
}

}  // namespace

absl::StatusOr<Window> ParseWindow(absl::string_view text) {
  const std::vector<absl::string_view> parts =
      absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (parts.size() != 2 && parts.size() != 3) return Unexpected(text, "there are other parts");
  Window window{.text = std::string(text)};
  window.days = parts.size() == 3 ? ParseDays(parts[0]) : ParseDays("mon-sun");
  if (window.days.empty()) return Unexpected(text, absl::StrCat("'", parts[0], "' are no days"));
  const absl::string_view times = parts[parts.size() - 2];
  const std::vector<absl::string_view> ends = absl::StrSplit(times, '-');
  const std::optional<int> from = ParseMinute(ends.front());
  const std::optional<int> to = ParseMinute(ends.back());
  if (ends.size() != 2 || !from || !to || *from == kMinutesOfDay)
    return Unexpected(text, absl::StrCat("'", times, "' are no times"));
  if (*from == *to)
    return Unexpected(text, "it begins when it ends; 00:00-24:00 is the whole day, so it is");
  window.from_minute = *from;
  window.to_minute = *to;
  if (!absl::LoadTimeZone(std::string(parts.back()), &window.zone)) {
    return Unexpected(text, absl::StrCat("no time zone '", parts.back(), "' is known here"));
  }
  return window;
}

WindowState WindowsAt(const std::vector<Window>& windows, absl::Time now) {
  WindowState state;
  if (windows.empty()) return state;
  state.open = false;
  // In order of their beginning: those that touch or overlap are one.
  for (const Opening& opening : OpeningsAround(windows, now)) {
    if (opening.to <= now) continue;
    if (state.open) {
      if (opening.from <= state.until) state.until = std::max(state.until, opening.to);
    } else if (opening.from <= now) {
      state = {.open = true, .until = opening.to, .zone = opening.zone};
    } else if (opening.from < state.until) {
      state.until = opening.from;
      state.zone = opening.zone;
    }
  }
  return state;
}

std::string OpensText(const WindowState& state, absl::Time now) {
  const bool near = state.until - now < absl::Hours(6 * 24);
  return absl::StrCat(
      "opens ", absl::FormatTime(near ? "%a %H:%M" : "%a %Y-%m-%d %H:%M", state.until, state.zone),
      " ", state.zone.name());
}

}  // namespace dunlin
