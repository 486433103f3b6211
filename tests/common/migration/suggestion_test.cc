#include "common/migration/suggestion.h"

#include <gtest/gtest.h>

namespace dunlin {
namespace {

TEST(SuggestionTest, FindsTheNearestWord) {
  const std::vector<std::string> words = {"description", "durability", "key", "batch"};
  EXPECT_EQ(DidYouMean("descripton", words), "; did you mean 'description'?");
  EXPECT_EQ(DidYouMean("durabilty", words), "; did you mean 'durability'?");
  EXPECT_EQ(DidYouMean("bathc", words), "; did you mean 'batch'?");
  EXPECT_EQ(DidYouMean("keys", words), "; did you mean 'key'?");
}

TEST(SuggestionTest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(DidYouMean("window", {"description", "key"}), "");
  EXPECT_EQ(DidYouMean("", {"description", "key"}), "");
  EXPECT_EQ(DidYouMean(std::string(100000, 'x'), {"x"}), "");
  EXPECT_EQ(DidYouMean("x", {}), "");
}

}  // namespace
}  // namespace dunlin
