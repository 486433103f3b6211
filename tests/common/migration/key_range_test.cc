#include "common/migration/key_range.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

namespace dunlin {
namespace {

std::string Range(std::vector<std::string> columns, KeyRangeShape shape) {
  return KeyRangeSql(columns, shape, [](const ParameterRef& ref) {
    if (const auto* lower = std::get_if<LowerBound>(&ref)) return absl::StrCat("L", lower->column);
    return absl::StrCat("U", std::get<UpperBound>(ref).column);
  });
}

TEST(KeyRangeTest, OneColumnIsAPlainRange) {
  EXPECT_EQ(Range({"a"}, {}), "(a > L0 AND a <= U0)");
  EXPECT_EQ(Range({"a"}, {.has_lower = false}), "(a <= U0)");
}

TEST(KeyRangeTest, Trap02_WhatTheBoundsShareIsEqualAndTheRestAPlainRange) {
  EXPECT_EQ(Range({"a", "b"}, {.common = 1}), "(a = L0 AND b > L1 AND b <= U1)");
  EXPECT_EQ(Range({"a", "b", "c"}, {.common = 2}), "(a = L0 AND b = L1 AND c > L2 AND c <= U2)");
}

TEST(KeyRangeTest, Trap02_TheRowComparisonDecidesAndTheArmsHoldEveryRowOfIt) {
  EXPECT_EQ(Range({"a", "b"}, {}),
            "((a, b) > (L0, L1) AND (a, b) <= (U0, U1) AND "
            "(a = L0 AND b > L1 OR a > L0 AND a < U0 OR a = U0 AND b <= U1))");
  EXPECT_EQ(Range({"a", "b", "c"}, {}),
            "((a, b, c) > (L0, L1, L2) AND (a, b, c) <= (U0, U1, U2) AND "
            "(a = L0 AND b = L1 AND c > L2 OR a = L0 AND b > L1 OR a > L0 AND a < U0 OR "
            "a = U0 AND b < U1 OR a = U0 AND b = U1 AND c <= U2))");
  EXPECT_EQ(Range({"a", "b", "c"}, {.common = 1}),
            "(a = L0 AND (b, c) > (L1, L2) AND (b, c) <= (U1, U2) AND "
            "(b = L1 AND c > L2 OR b > L1 AND b < U1 OR b = U1 AND c <= U2))");
  EXPECT_EQ(Range({"a", "b"}, {.has_lower = false}),
            "((a, b) <= (U0, U1) AND (a < U0 OR a = U0 AND b <= U1))");
}

}  // namespace
}  // namespace dunlin
