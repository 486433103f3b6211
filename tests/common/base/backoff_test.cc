#include "common/backoff.h"

#include <gtest/gtest.h>

namespace dunlin {
namespace {

TEST(BackoffTest, GrowsTwofoldUpToTheCap) {
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(1), [] { return 1.0; });
  for (const int want_ms : {100, 200, 400, 800, 1000, 1000}) {
    EXPECT_EQ(backoff.Next(), absl::Milliseconds(want_ms));
  }
}

TEST(BackoffTest, ALuckyDrawStillWaitsHalfTheBase) {
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(30), [] { return 0.0; });
  for (int i = 0; i < 50; ++i) EXPECT_EQ(backoff.Next(), absl::Milliseconds(50));
}

TEST(BackoffTest, ManyAttemptsDoNotOverflow) {
  Backoff backoff(absl::Hours(1), absl::Hours(2), [] { return 0.999; });
  for (int i = 0; i < 10000; ++i) {
    const absl::Duration next = backoff.Next();
    EXPECT_GE(next, absl::Minutes(30));
    EXPECT_LE(next, absl::Hours(2));
  }
}

TEST(BackoffTest, ResetBeginsAnew) {
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(30), [] { return 1.0; });
  backoff.Next();
  backoff.Next();
  EXPECT_EQ(backoff.attempts(), 2);
  backoff.Reset();
  EXPECT_EQ(backoff.attempts(), 0);
  EXPECT_EQ(backoff.Next(), absl::Milliseconds(100));
}

TEST(BackoffTest, TheRandomSourceStaysBelowOne) {
  for (int i = 0; i < 1000; ++i) {
    const double drawn = Random01();
    EXPECT_GE(drawn, 0.0);
    EXPECT_LT(drawn, 1.0);
  }
}

}  // namespace
}  // namespace dunlin
