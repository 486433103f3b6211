// What one agent measures on its target, on a real server.
#include "agent/signals/sampler.h"

#include <thread>

#include "tests/agent/agent_fixture.h"
#include "tests/testlib/process.h"

namespace dunlin::agent {
namespace {

class SamplerTest : public AgentTest {
 protected:
  // The first report of an agent that was just given the duty.
  SignalReport FirstReport() {
    SignalSampler sampler("app", *sessions_, SystemClock());
    sampler.SetDuty(std::vector<MeasuredRun>{});
    std::optional<SignalReport> report;
    EXPECT_TRUE(testing::Eventually(absl::Seconds(30), [&] {
      report = sampler.Take();
      return report.has_value();
    }));
    return report.value_or(SignalReport{});
  }
};

TEST_F(SamplerTest, NobodyIsThereWhenNobodyIs) {
  EXPECT_EQ(FirstReport().alone, absl::InfiniteDuration());
}

// An application that is in a transaction for half of the time: each first look would miss it every
// second time, all of them one time in a thousand.
TEST_F(SamplerTest, AnApplicationIsSeenBeforeTheFirstReport) {
  std::jthread application([this](std::stop_token stop) {
    const auto connection = server_.Connect("app");
    while (!stop.stop_requested()) {
      ASSERT_TRUE(connection->Query("SELECT pg_sleep(0.01)").ok());
      SystemClock().SleepFor(absl::Milliseconds(10), stop);
    }
  });
  for (int time = 0; time < 10; ++time) EXPECT_LT(FirstReport().alone, absl::Seconds(1));
}

}  // namespace
}  // namespace dunlin::agent
