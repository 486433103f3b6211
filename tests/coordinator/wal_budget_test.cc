#include "coordinator/logic/wal_budget.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace dunlin::coordinator {
namespace {

constexpr double kLimit = 10e6;

// A server on which each row of the run writes `row_bytes`; others write what they like. Measured
// is the mean of three seconds, and the run's rate follows as the store's does.
struct Server {
  double row_bytes = 1'000;
  double others = 0;             // bytes a second
  double most_rows = 1e9;        // what the run reaches without a limit
  double allowed = 0, rate = 0;  // rows a second
  std::deque<double> written = {0, 0, 0};

  double Second() {
    const double measured = std::accumulate(written.begin(), written.end(), 0.0) / 3;
    allowed = WalRowsPerSecond(
        allowed,
        {.limit = static_cast<int64_t>(kLimit), .measured = measured, .rows_per_second = rate});
    const double rows = std::min(allowed, most_rows);
    rate += 0.4 * (rows - rate);
    written.push_back(others + rows * row_bytes);
    written.pop_front();
    return written.back();
  }
  std::vector<double> Seconds(int count) {
    std::vector<double> all;
    for (int second = 0; second < count; ++second) all.push_back(Second());
    return all;
  }
};

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}
double Most(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

TEST(WalBudgetTest, TheServerWritesNineTenthsOfTheLimitWhateverARowCosts) {
  for (const double row_bytes : {100.0, 400.0, 1'000.0, 8'000.0}) {
    Server server{.row_bytes = row_bytes};
    EXPECT_LT(Most(server.Seconds(30)), 1.5 * kLimit) << row_bytes;
    const std::vector<double> settled = server.Seconds(60);
    EXPECT_LT(Most(settled), kLimit) << row_bytes;
    EXPECT_GT(Mean(settled), 0.8 * kLimit) << row_bytes;
  }
}

TEST(WalBudgetTest, WhatOthersWriteCountsAndComesBackWhenTheyStop) {
  Server server;
  server.Seconds(60);
  server.others = 6e6;
  server.Seconds(20);
  const std::vector<double> beside = server.Seconds(30);
  EXPECT_LT(Most(beside), kLimit);
  EXPECT_GT(Mean(beside), 0.8 * kLimit);
  server.others = 2 * kLimit;
  server.Seconds(30);
  EXPECT_LT(server.allowed, 50);
  EXPECT_GT(server.allowed, 0);  // and it starves for nobody
  server.others = 0;
  server.Seconds(30);
  EXPECT_GT(Mean(server.Seconds(10)), 0.8 * kLimit);
}

// Pages that are logged whole after a checkpoint.
TEST(WalBudgetTest, RowsThatGetTenTimesAsDearAreFewerWithinSeconds) {
  Server server{.row_bytes = 300};
  server.Seconds(60);
  server.row_bytes = 3'000;
  server.Seconds(8);
  EXPECT_LT(Most(server.Seconds(60)), 1.2 * kLimit);
}

TEST(WalBudgetTest, ARunThatIsSlowForAnotherReasonIsNotLetLooseWhenThatIsOver) {
  Server server{.most_rows = 50};
  server.Seconds(120);
  server.most_rows = 1e9;
  EXPECT_LT(Most(server.Seconds(30)), 1.5 * kLimit);
}

}  // namespace
}  // namespace dunlin::coordinator
