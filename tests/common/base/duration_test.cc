#include "common/text/duration.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace dunlin {
namespace {

TEST(DurationTest, ReadsNumbersWithUnits) {
  const std::vector<std::pair<std::string, absl::Duration>> cases = {
      {"250ms", absl::Milliseconds(250)}, {"1.5s", absl::Milliseconds(1500)},
      {"90m", absl::Minutes(90)},         {"2h", absl::Hours(2)},
      {"7d", absl::Hours(168)},           {"1h30m", absl::Minutes(90)},
      {"0ms", absl::ZeroDuration()},      {" 5s ", absl::Seconds(5)},
      {"10min", absl::Minutes(10)},
  };
  for (const auto& [text, want] : cases) {
    const auto got = ParseDuration(text);
    ASSERT_TRUE(got.ok()) << text << ": " << got.status();
    EXPECT_EQ(*got, want) << text;
  }
}

TEST(DurationTest, RefusesWhatIsNoDurationAndSaysWhatWasExpected) {
  for (const std::string text :
       {"", "100", "-1s", "s", "1 s", "1.2.3s", "1w", "1S", "5000d", "infs", "1e3s", "1s,"}) {
    const auto got = ParseDuration(text);
    ASSERT_FALSE(got.ok()) << text;
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(got.status().message().find("expected a number and a unit"), std::string::npos)
        << got.status();
  }
}

// "0.4ms" would be stored, shown and waited for as 0.
TEST(DurationTest, APartOfAMillisecondIsRefusedNotLost) {
  for (const std::string text : {"0.4ms", "1.5ms", "0.0001s", "1.0005s"})
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  EXPECT_EQ(*ParseDuration("0.3s"), absl::Milliseconds(300));
  EXPECT_EQ(*ParseDuration("3000.1d"), absl::Hours(24 * 3000) + absl::Minutes(144));
}

TEST(DurationTest, WritesTheShortestExactForm) {
  for (const std::string text : {"0s", "250ms", "1m30s", "7d", "1d1h1m1s1ms"}) {
    EXPECT_EQ(dunlin::FormatDuration(*ParseDuration(text)), text);
  }
  EXPECT_EQ(dunlin::FormatDuration(absl::Seconds(90)), "1m30s");
}

TEST(DurationTest, TellsPeopleTwoUnitsAtMost) {
  const std::vector<std::pair<absl::Duration, std::string>> cases = {
      {absl::Milliseconds(40), "40 ms"},
      {absl::Seconds(3), "3 s"},
      {absl::Seconds(250), "4 min 10 s"},
      {absl::Minutes(125), "2 h 5 min"},
      {absl::Hours(76), "3 d 4 h"},
      {absl::Minutes(4), "4 min"},
      {absl::Hours(1), "1 h"},
      {absl::Hours(48), "2 d"},
  };
  for (const auto& [duration, want] : cases) EXPECT_EQ(HumanDuration(duration), want);
}

TEST(DurationTest, GroupsDigitsByThousands) {
  EXPECT_EQ(HumanCount(0), "0");
  EXPECT_EQ(HumanCount(999), "999");
  EXPECT_EQ(HumanCount(1000), "1,000");
  EXPECT_EQ(HumanCount(1234567), "1,234,567");
  EXPECT_EQ(HumanCount(-1234), "-1,234");
  EXPECT_EQ(HumanCount(INT64_MIN), "-9,223,372,036,854,775,808");
}

}  // namespace
}  // namespace dunlin
