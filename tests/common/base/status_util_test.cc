#include "common/status_util.h"

#include "absl/strings/cord.h"
#include <gtest/gtest.h>

#include "common/status_macros.h"

namespace dunlin {
namespace {

TEST(StatusUtilTest, AnnotatePutsContextOutermostAndKeepsCodeAndPayloads) {
  absl::Status status = absl::AbortedError("stale epoch");
  status.SetPayload("x", absl::Cord("y"));
  const absl::Status out = Annotate(Annotate(status, "claiming"), "shard 42");
  EXPECT_EQ(out.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(out.message(), "shard 42: claiming: stale epoch");
  EXPECT_EQ(out.GetPayload("x"), absl::Cord("y"));
}

TEST(StatusUtilTest, AnnotateLeavesSuccessAlone) {
  EXPECT_TRUE(Annotate(absl::OkStatus(), "anything").ok());
}

TEST(StatusUtilTest, TheReasonSurvivesAnnotation) {
  const absl::Status status = WithReason(absl::NotFoundError("no run"), "RUN_UNKNOWN");
  EXPECT_EQ(ReasonOf(Annotate(status, "status")), "RUN_UNKNOWN");
  EXPECT_EQ(ReasonOf(absl::NotFoundError("no run")), "");
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
}

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}
absl::StatusOr<int> Quarter(int value) {
  DUNLIN_ASSIGN_OR_RETURN(const int half, Half(value));
  DUNLIN_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

TEST(StatusUtilTest, AssignOrReturnGivesTheValueOrTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_FALSE(Quarter(6).ok());
}

}  // namespace
}  // namespace dunlin
