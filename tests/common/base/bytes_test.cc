#include "common/text/bytes.h"

#include <gmock/gmock.h>

namespace dunlin {
namespace {

TEST(BytesTest, ReadsAndWritesSizes) {
  EXPECT_EQ(*ParseBytes("4096"), 4096);
  EXPECT_EQ(*ParseBytes("50MB"), 50'000'000);
  EXPECT_EQ(*ParseBytes("1.5 GB"), 1'500'000'000);
  EXPECT_EQ(*ParseBytes("2GiB"), int64_t{2} << 30);
  EXPECT_EQ(*ParseBytes("10kb"), 10'000);
  EXPECT_EQ(HumanBytes(812), "812 B");
  EXPECT_EQ(HumanBytes(50e6), "50 MB");
  EXPECT_EQ(HumanBytes(1.24e9), "1.24 GB");
  for (const char* bad : {"", "MB", "-1MB", "1e5", "12 parsecs", "0", "1000000TB", "0x10"}) {
    EXPECT_FALSE(ParseBytes(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace dunlin
