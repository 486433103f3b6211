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

// A copy of a database is counted anew, as one is after a crash or a promotion: no row lives there.
TEST_F(SamplerTest, DeadRowsAreOfAllRowsWhenTheServerHasForgottenHowManyLive) {
  server_.CreateDatabase("made");
  server_.Exec("made",
               "CREATE TABLE t (id int PRIMARY KEY, n int) WITH (autovacuum_enabled = false);"
               "INSERT INTO t SELECT g, 0 FROM generate_series(1, 50000) g; ANALYZE t");
  server_.CreateDatabase("copied", "TEMPLATE made");
  server_.Exec("copied", "UPDATE t SET n = 1");
  const auto signal = MakeDeadRowsSignal();
  const auto connection = server_.Connect("copied");
  const std::vector<MeasuredRun> runs = {{.tables = {"public.t"}}};
  double dead_for_each = 0;
  EXPECT_TRUE(testing::Eventually(absl::Seconds(30), [&] {
    std::vector<SignalSample> samples;
    EXPECT_TRUE(signal->Measure(*connection, absl::ZeroDuration(), runs, samples).ok());
    dead_for_each = samples.at(0).value;
    return dead_for_each > 0;
  }));
  EXPECT_NEAR(dead_for_each, 1, 0.01);
}

}  // namespace
}  // namespace dunlin::agent
