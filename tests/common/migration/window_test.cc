#include "common/migration/window.h"

#include <gmock/gmock.h>

namespace dunlin {
namespace {

using ::testing::HasSubstr;

absl::TimeZone Helsinki() {
  absl::TimeZone zone;
  EXPECT_TRUE(absl::LoadTimeZone("Europe/Helsinki", &zone));
  return zone;
}
absl::Time At(int month, int day, int hour, int minute) {  // in 2026, in Helsinki
  return absl::FromCivil(absl::CivilMinute(2026, month, day, hour, minute), Helsinki());
}
std::vector<Window> Windows(std::vector<std::string> texts) {
  std::vector<Window> windows;
  for (const std::string& text : texts) {
    auto window = ParseWindow(text);
    EXPECT_TRUE(window.ok()) << window.status();
    if (window.ok()) windows.push_back(*window);
  }
  return windows;
}

TEST(WindowTest, OverMidnightTheDayIsThatOfTheBeginning) {
  const auto windows = Windows({"Mon-Fri 20:00-06:00 Europe/Helsinki"});
  // 2026-11-27 is a Friday.
  const WindowState evening = WindowsAt(windows, At(11, 27, 20, 0));
  EXPECT_TRUE(evening.open);
  EXPECT_EQ(evening.until, At(11, 28, 6, 0));
  EXPECT_TRUE(WindowsAt(windows, At(11, 28, 5, 59)).open) << "Saturday morning is Friday's";
  const WindowState weekend = WindowsAt(windows, At(11, 28, 6, 0));
  EXPECT_FALSE(weekend.open);
  EXPECT_EQ(weekend.until, At(11, 30, 20, 0));
  EXPECT_EQ(OpensText(weekend, At(11, 28, 6, 0)), "opens Mon 20:00 Europe/Helsinki");
  EXPECT_FALSE(WindowsAt(windows, At(11, 30, 5, 0)).open) << "Monday morning would be Sunday's";
}

TEST(WindowTest, WeekendsAndWindowsThatTouchAreOne) {
  const auto windows =
      Windows({"Sat,Sun 00:00-24:00 Europe/Helsinki", "Mon-Fri 22:00-00:00 Europe/Helsinki"});
  const WindowState friday = WindowsAt(windows, At(11, 27, 23, 0));
  EXPECT_TRUE(friday.open);
  EXPECT_EQ(friday.until, At(11, 30, 0, 0));
  EXPECT_EQ(WindowsAt(windows, At(11, 30, 0, 0)).until, At(11, 30, 22, 0));
  EXPECT_TRUE(WindowsAt({}, At(11, 30, 0, 0)).open);
}

TEST(WindowTest, DaysMayRunOverTheEndOfTheWeek) {
  const auto windows = Windows({"fri-mon,Wed 01:00-02:00 UTC"});
  EXPECT_EQ(windows.at(0).days.size(), 5U);
}

TEST(WindowTest, FollowsTheClockOnTheWallThroughChangesOfTime) {
  // In Finland the clock goes from 03:00 to 04:00 on 2026-03-29 and from 04:00 to 03:00 on 10-25.
  const auto nights = Windows({"02:00-05:00 Europe/Helsinki"});
  EXPECT_EQ(WindowsAt(nights, At(3, 29, 2, 0)).until - At(3, 29, 2, 0), absl::Hours(2));
  EXPECT_EQ(WindowsAt(nights, At(10, 25, 2, 0)).until - At(10, 25, 2, 0), absl::Hours(4));
  // A time that is left out is the moment of the change; one that comes twice is the first.
  const auto skipped = Windows({"03:30-05:00 Europe/Helsinki"});
  const absl::Time change = At(3, 29, 4, 0);
  EXPECT_FALSE(WindowsAt(skipped, change - absl::Minutes(1)).open);
  EXPECT_TRUE(WindowsAt(skipped, change + absl::Minutes(59)).open);
  const absl::Time first_half_past_three =
      absl::FromCivil(absl::CivilMinute(2026, 10, 25, 0, 30), absl::UTCTimeZone());
  EXPECT_FALSE(WindowsAt(skipped, first_half_past_three - absl::Minutes(1)).open);
  EXPECT_TRUE(WindowsAt(skipped, first_half_past_three).open);
}

TEST(WindowTest, EveryMinuteOfAYearBelongsToOneStateThatLastsUntilItSays) {
  const auto windows = Windows({"Mon-Thu 22:15-05:45 Europe/Helsinki", "Sat 10:00-11:00 UTC"});
  absl::Time now = At(1, 1, 0, 0);
  int changes = 0;
  while (now < At(12, 31, 0, 0)) {
    const WindowState state = WindowsAt(windows, now);
    ASSERT_GT(state.until, now);
    ASSERT_EQ(WindowsAt(windows, state.until - absl::Seconds(1)).open, state.open) << now;
    ASSERT_NE(WindowsAt(windows, state.until).open, state.open) << state.until;
    now = state.until;
    ++changes;
  }
  EXPECT_NEAR(changes, 52 * 5 * 2, 12);
}

TEST(WindowTest, SaysWhatIsWrong) {
  const auto problem = [](const char* text) {
    return std::string(ParseWindow(text).status().message());
  };
  EXPECT_THAT(problem("Mon-Fri 20:00-06:00 Europe/Helsinky"), HasSubstr("no time zone"));
  EXPECT_THAT(problem("Mon-Fri 20:00 UTC"), HasSubstr("'20:00' are no times"));
  EXPECT_THAT(problem("Mo-Fr 20:00-06:00 UTC"), HasSubstr("'Mo-Fr' are no days"));
  EXPECT_THAT(problem("Mon 25:00-06:00 UTC"), HasSubstr("no times"));
  EXPECT_THAT(problem("Mon 06:00-06:00 UTC"), HasSubstr("begins when it ends"));
  EXPECT_THAT(problem("always"), HasSubstr("expected DAYS"));
}

}  // namespace
}  // namespace dunlin
