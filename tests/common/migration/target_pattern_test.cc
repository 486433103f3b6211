#include "common/migration/target_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dunlin {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(TargetPatternTest, AWildcardStandsForAnyCharactersAndAllElseForItself) {
  EXPECT_TRUE(TargetMatches("tenant_%", "tenant_17"));
  EXPECT_TRUE(TargetMatches("tenant_*", "tenant_"));
  EXPECT_FALSE(TargetMatches("tenant_%", "tenants17")) << "_ is no wildcard";
  EXPECT_TRUE(TargetMatches("*", ""));
  EXPECT_TRUE(TargetMatches("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(TargetMatches("a*b*c", "a-b-b-c-"));
  EXPECT_FALSE(TargetMatches("orders", "orders2"));
  EXPECT_FALSE(TargetMatches("orders.", "orders2"));
}

TEST(TargetPatternTest, NamesStandForThemselvesAndPatternsForKnownOnes) {
  const std::vector<std::string> known = {"eu_1", "eu_2", "us"};
  EXPECT_THAT(ExpandTargets({"eu_*"}, known), ElementsAre("eu_1", "eu_2"));
  EXPECT_THAT(ExpandTargets({"asia", "eu_2", "*"}, known),
              ElementsAre("asia", "eu_2", "eu_1", "us"));
  EXPECT_THAT(ExpandTargets({"x*"}, known), IsEmpty());
}

}  // namespace
}  // namespace dunlin
