#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace dunlin {

// A time of the week in which a run may work: "Mon-Fri 20:00-06:00 Europe/Helsinki". Days belong to
// the beginning: that one also covers Saturday until 06:00. Times are those of the clock on the
// wall there: one that a change to summer time leaves out is the moment of the change, of one that
// comes twice the first counts.
struct Window {
  std::vector<absl::Weekday> days;  // sorted as the week runs; all when none are given
  int from_minute = 0;              // of the day
  int to_minute = 0;                // up to 24:00; not after `from` = on the next day
  absl::TimeZone zone;
  std::string text;  // as in the file
};

// "[DAYS] HH:MM-HH:MM ZONE"; DAYS: "Mon-Fri", "Sat,Sun", "Fri-Mon,Wed"; ZONE: a name of the IANA
// data. Errors: INVALID_ARGUMENT says what was expected.
absl::StatusOr<Window> ParseWindow(absl::string_view text);

// Whether one of the windows is open, and the moment until when that holds; none = always open.
struct WindowState {
  bool open = true;
  absl::Time until = absl::InfiniteFuture();
  absl::TimeZone zone;  // of the window that opens
};
WindowState WindowsAt(const std::vector<Window>& windows, absl::Time now);

// "opens Mon 20:00 Europe/Helsinki"; with the date when that is more than six days away.
std::string OpensText(const WindowState& state, absl::Time now);

}  // namespace dunlin
