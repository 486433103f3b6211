#include "common/ids.h"

#include <regex>
#include <set>
#include <sstream>
#include <type_traits>

#include <gtest/gtest.h>

namespace dunlin {
namespace {

static_assert(!std::is_convertible_v<RunId, ShardId>);
static_assert(!std::is_constructible_v<RunId, ShardId>);
static_assert(!std::is_convertible_v<int64_t, Epoch>);
static_assert(!std::is_constructible_v<Epoch, Revision>);

TEST(IdsTest, UuidsHaveThePostgresTextFormOfVersionFour) {
  const std::regex form("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(std::regex_match(MakeUuid(), form));
}

TEST(IdsTest, UuidsDoNotRepeat) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(seen.insert(MakeUuid()).second);
}

TEST(IdsTest, IdsCompareByTheirValue) {
  EXPECT_EQ(RunId("a"), RunId("a"));
  EXPECT_NE(RunId("a"), RunId("b"));
  EXPECT_LT(Epoch(1), Epoch(2));
  EXPECT_EQ(Epoch(), Epoch(0));
  EXPECT_TRUE(RunId().empty());
}

TEST(IdsTest, IdsPrintAsTheirValue) {
  std::ostringstream out;
  out << ShardId("s-1") << ' ' << Revision(7);
  EXPECT_EQ(out.str(), "s-1 7");
}

}  // namespace
}  // namespace dunlin
