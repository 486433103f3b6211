// Each call to a server, libpq's and gRPC's, of a small complete run fails once: before the server
// saw it, after it took effect, and with its answer withheld until the deadline. The run must end,
// and every row be right. An undisturbed run is counted first; then comes a run for each call that
// it made and each way. What was called several times fails at its first time and at another, drawn
// from a seed that is printed. One pair is replayed by DUNLIN_CALL='…', as a failure prints it.
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>

#include "tests/calls/small_run.h"
#include "tests/testlib/seed.h"

namespace dunlin::testing {
namespace {

// As many entries of ctest, so that it can run them side by side.
constexpr size_t kParts = 6;

class Calls : public ::testing::TestWithParam<size_t> {
 protected:
  bool IsOfThisPart(const std::string& call) const {
    return std::hash<std::string>()(call) % kParts == GetParam();
  }
  // A statement in the middle of a store's transaction that fails rolls it back, whatever the way:
  // one is drawn. All else fails in all three.
  std::vector<const char*> WaysOf(const std::string& call) {
    const std::vector<const char*> all = {"before", "after", "hang:300"};
    const bool of_store = absl::StartsWith(call, "libpq.pipeline dunlin/coordinator");
    const bool at_edge = absl::StrContains(call, "COMMIT") || absl::StrContains(call, "BEGIN");
    if (!of_store || at_edge) return all;
    return {all[random_() % all.size()]};
  }
  void Fail(const std::string& spec) {
    const SmallRunResult run = RunSmallMigration(server_, spec);
    if (run.problem.empty() && !run.hit) {
      ++not_reached_;  // the threads' turns differ from run to run
      return;
    }
    ++pairs_;
    slowest_ = std::max(slowest_, run.took);
    std::cout << "calls: " << absl::ToInt64Milliseconds(run.took) << " ms " << spec << std::endl;
    EXPECT_EQ(run.problem, "") << "replay: DUNLIN_CALL='" << spec
                               << "' calls_test --gtest_filter='*/0'";
  }

  PgServer server_;
  std::mt19937_64 random_{Seed()};
  int pairs_ = 0;
  int not_reached_ = 0;
  absl::Duration slowest_;
};

TEST_P(Calls, I1_I2_I4_I6_EachFailsOnceAndEveryRowIsRight) {
  if (const char* one = std::getenv("DUNLIN_CALL"); one != nullptr) {
    if (GetParam() == 0) Fail(one);
    return;
  }
  const SmallRunResult undisturbed = RunSmallMigration(server_, "");
  ASSERT_EQ(undisturbed.problem, "");
  ASSERT_GE(undisturbed.splits, 1) << "the run is to have a split among its calls";
  std::cout << "calls: " << undisturbed.calls.size() << " different calls in an undisturbed run of "
            << absl::ToInt64Milliseconds(undisturbed.took) << " ms" << std::endl;
  for (const auto& [call, count] : undisturbed.calls) {
    if (!IsOfThisPart(call)) continue;
    for (const char* way : WaysOf(call)) {
      Fail(absl::StrCat(call, "=", way, "@1"));
      if (count > 1) Fail(absl::StrCat(call, "=", way, "@", 2 + random_() % (count - 1)));
    }
  }
  std::cout << "calls: " << pairs_ << " pairs of a call and a way; " << not_reached_
            << " more did not come to their call; the slowest run took "
            << absl::ToInt64Milliseconds(slowest_) << " ms" << std::endl;
  EXPECT_GT(pairs_, 3 * not_reached_);
}

INSTANTIATE_TEST_SUITE_P(Part, Calls, ::testing::Range<size_t>(0, kParts));

}  // namespace
}  // namespace dunlin::testing
