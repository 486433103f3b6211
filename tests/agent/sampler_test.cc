// What one agent measures on its target, on a real server.
#include "agent/signals/sampler.h"

#include <atomic>
#include <thread>

#include "agent/signals/statements.h"
#include "tests/agent/agent_fixture.h"
#include "tests/testlib/process.h"

namespace dunlin::agent {
namespace {

class SamplerTest : public AgentTest {
 protected:
  // The first report of an agent that was just given the duty.
  SignalReport FirstReport() {
    SignalSampler sampler(
        "app", *sessions_, [] {}, SystemClock());
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

// An application that is in a transaction for three quarters of the time: one look would miss it
// every fourth time, ten one time in a million.
TEST_F(SamplerTest, AnApplicationIsSeenBeforeTheFirstReport) {
  std::jthread application([this](std::stop_token stop) {
    const auto connection = server_.Connect("app");
    while (!stop.stop_requested()) {
      ASSERT_TRUE(connection->Query("SELECT pg_sleep(0.03)").ok());
      SystemClock().SleepFor(absl::Milliseconds(10), stop);
    }
  });
  for (int time = 0; time < 10; ++time) EXPECT_LT(FirstReport().alone, absl::Seconds(1));
}

TEST_F(SamplerTest, WhoeverComesIsToldAtOnceAndOnlyOnce) {
  std::atomic<int> came = 0;
  SignalSampler sampler(
      "app", *sessions_, [&came] { ++came; }, SystemClock());
  sampler.SetDuty(
      std::vector<MeasuredRun>{MeasuredRun{.id = RunId("00000000-0000-0000-0000-000000000001")}});
  std::optional<SignalReport> report;
  const auto next_report = [&] {
    return testing::Eventually(absl::Seconds(30), [&] {
      report = sampler.Take();
      return report.has_value();
    });
  };
  ASSERT_TRUE(next_report());
  ASSERT_EQ(report->alone, absl::InfiniteDuration());
  const auto application = server_.Connect("app");
  for (int time = 1; time <= 2; ++time) {
    ASSERT_EQ(came, time - 1);
    ASSERT_TRUE(application->Query("BEGIN").ok());
    ASSERT_TRUE(application->Query("SELECT 1").ok());
    EXPECT_TRUE(testing::Eventually(absl::Seconds(30), [&] { return came == time; }));
    report = sampler.Take();
    ASSERT_TRUE(report.has_value()) << "who is woken finds what it is woken for";
    EXPECT_LT(report->alone, absl::Seconds(1));
    EXPECT_FALSE(report->samples.empty()) << "nothing is unmeasured for it";
    for (int more = 0; more < 2; ++more) ASSERT_TRUE(next_report());
    EXPECT_EQ(came, time) << "it is still there";
    ASSERT_TRUE(application->Query("ROLLBACK").ok());
    do ASSERT_TRUE(next_report());
    while (report->alone < absl::Seconds(2));
  }
}

// Of a role that may see neither the state nor the statement of other roles' sessions.
TEST_F(SamplerTest, APlainRoleSeesHowManyTransactionsOthersHaveOpen) {
  server_.Exec("app", "CREATE ROLE plain LOGIN; CREATE TABLE seen (id int)");
  const auto watcher = server_.Connect("app");
  ASSERT_TRUE(watcher->Query("SET SESSION AUTHORIZATION plain").ok());
  const auto open = [&watcher] {
    const auto who = watcher->Execute(sql::kWhoWorks);
    EXPECT_TRUE(who.ok()) << who.status();
    return who.ok() ? who->Int(0, 1) : -1;
  };
  const int64_t itself = open();
  ASSERT_EQ(itself, 1) << "it is not named as Dunlin's sessions are";
  const auto writer = server_.Connect("app"), idle = server_.Connect("app"),
             dunlin = server_.Connect("app");
  for (const auto* one : {&writer, &idle, &dunlin}) ASSERT_TRUE((*one)->Query("BEGIN").ok());
  EXPECT_EQ(open() - itself, 0) << "they have done nothing yet";
  ASSERT_TRUE(dunlin->Query("SET application_name = 'dunlin/1'").ok());
  for (const auto* one : {&writer, &dunlin})
    ASSERT_TRUE((*one)->Query("INSERT INTO seen VALUES (1)").ok());
  EXPECT_EQ(open() - itself, 1) << "and none of Dunlin's own";
  std::jthread reader([this] {
    EXPECT_FALSE(server_.Connect("app")->Query("SELECT pg_sleep(60)").ok()) << "it is cancelled";
  });
  // Not before it sleeps: a session has a transaction while it connects, and none between that and
  // its statement.
  EXPECT_TRUE(testing::Eventually(absl::Seconds(30), [&] {
    return Int("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1;
  }));
  EXPECT_EQ(open() - itself, 2);
  ASSERT_TRUE(writer->Query("COMMIT").ok());
  EXPECT_EQ(open() - itself, 1) << "who only reads is seen, too";
  server_.Exec(
      "app",
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' "
      "AND pid <> pg_backend_pid()");
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
