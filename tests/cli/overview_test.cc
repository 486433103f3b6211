#include "cli/overview.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dunlin::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const absl::Time kNow =
    absl::FromCivil(absl::CivilSecond(2026, 11, 24, 3, 30), absl::UTCTimeZone());

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  out->set_seconds(absl::ToUnixSeconds(time));
}

v1::Run ARun(const std::string& name, v1::Run::State state, const std::string& target = "orders") {
  v1::Run run;
  run.set_migration(name);
  run.set_target(target);
  run.set_state(state);
  run.set_kind(v1::Run::KIND_APPLY);
  SetTime(kNow - absl::Minutes(4), run.mutable_state_time());
  return run;
}

v1::Run::Signal* AddSignal(v1::Run& run, double pressure, const std::string& text,
                           absl::Duration age = absl::Minutes(2)) {
  v1::Run::Signal* signal = run.add_signals();
  signal->set_signal("blocked_sessions");
  signal->set_text(text);
  signal->set_pressure(pressure);
  signal->set_measured(true);
  SetTime(kNow - age, signal->mutable_since_time());
  return signal;
}

v1::Agent Agent(const std::string& name, const std::string& target, bool connected) {
  v1::Agent agent;
  agent.set_name(name);
  agent.add_targets(target);
  agent.set_slots(4);
  agent.set_slots_used(connected ? 2 : 0);
  agent.set_connected(connected);
  SetTime(kNow - absl::Minutes(3), agent.mutable_last_heartbeat_time());
  return agent;
}

std::string Text(const std::vector<v1::Run>& runs, const std::vector<v1::Agent>& agents,
                 const std::string& reach = "") {
  return OverviewText({.runs = runs, .agents = agents, .now = kNow, .reach = reach}, {});
}

TEST(OverviewTest, AQuietNightIsALine) {
  EXPECT_EQ(Text({}, {Agent("a:1", "orders", true)}),
            "nothing is running, and nothing needs you; 1 agent, 2 of 4 slots in use\n");
  EXPECT_EQ(Text({}, {}, " --database …"), "nothing is running, and nothing needs you\n");
}

TEST(OverviewTest, WhatNeedsAPersonComesFirstWithTheCommandToType) {
  v1::Run failed = ARun("20261102000000_b", v1::Run::STATE_FAILED);
  failed.set_error("column nope does not exist");
  v1::Run paused = ARun("20261103000000_c", v1::Run::STATE_PAUSED);
  paused.set_error("everything is done but rows that are set aside");
  paused.set_rows_quarantined(3);
  v1::Run critical = ARun("20261104000000_d", v1::Run::STATE_PENDING);
  critical.set_critical(true);
  const std::string text =
      Text({ARun("20261101000000_a", v1::Run::STATE_RUNNING), paused, failed, critical},
           {Agent("a:1", "orders", true)});
  EXPECT_THAT(
      text,
      StartsWith("3 runs need a person, 1 in work; 1 agent, 2 of 4 slots in use\n\n"
                 "NEEDS A PERSON\n"
                 "  20261102000000_b on orders: FAILED since 03:26:00Z (4 min)\n"
                 "    column nope does not exist\n"
                 "    next: dunlin resume 20261102000000_b\n"
                 "  20261103000000_c on orders: PAUSED since 03:26:00Z (4 min), 3 rows set aside\n"
                 "    everything is done but rows that are set aside\n"
                 "    next: dunlin quarantine retry 20261103000000_c\n"));
  EXPECT_THAT(
      text, HasSubstr("    next: dunlin approve 20261104000000_d\n\nIN WORK\n  20261101000000_a"));
}

TEST(OverviewTest, ThePausedAsAskedAreNotAmongThoseThatNeedAPerson) {
  v1::Run paused = ARun("20261101000000_a", v1::Run::STATE_PAUSED);
  paused.set_reason("paused by ada: checkout is slow");
  const std::string text = Text({paused}, {});
  EXPECT_THAT(text, StartsWith("1 is paused as asked; no agent is connected\n"));
  EXPECT_THAT(text, Not(HasSubstr("NEEDS A PERSON")));
  EXPECT_THAT(
      text,
      HasSubstr("paused by ada: checkout is slow\n    next: dunlin resume 20261101000000_a\n"));
  EXPECT_THAT(text, Not(HasSubstr("stop everything"))) << "nothing is there to be stopped";
}

TEST(OverviewTest, WhomItHarmsIsToldOnceForEachTargetSinceItBegan) {
  v1::Run one = ARun("20261101000000_a", v1::Run::STATE_RUNNING);
  AddSignal(one, 3, "3 sessions wait for locks that Dunlin holds (limit 1)");
  v1::Run other = ARun("20261102000000_b", v1::Run::STATE_RUNNING);
  AddSignal(other, 1.5, "3 sessions wait for locks that Dunlin holds (limit 2)", absl::Minutes(5));
  v1::Run calm = ARun("20261103000000_c", v1::Run::STATE_RUNNING, "billing");
  AddSignal(calm, 0.9, "1 session waits");
  AddSignal(calm, 2, "a core is busy that nobody else wants")->clear_since_time();
  const std::string text =
      Text({one, other, calm}, {Agent("a:1", "orders", true), Agent("b:1", "billing", true)});
  EXPECT_THAT(text,
              StartsWith("3 in work; 1 signal is over the limit; 2 agents, 4 of 8 slots in use\n"));
  EXPECT_THAT(text,
              HasSubstr("  orders: 3 sessions wait for locks that Dunlin holds (limit 1), since "
                        "03:25:00Z (5 min)\n\nIN WORK"));
  EXPECT_THAT(text, Not(HasSubstr("1 session waits")));
  EXPECT_THAT(text, Not(HasSubstr("a core is busy")));
}

TEST(OverviewTest, AgentsAreMissedOnlyWhereSomethingIsToBeDone) {
  const std::vector<v1::Agent> agents = {Agent("a:1", "orders", false),
                                         Agent("b:1", "billing", false)};
  const std::string text = Text({ARun("20261101000000_a", v1::Run::STATE_RUNNING)}, agents);
  EXPECT_THAT(
      text,
      HasSubstr(
          "no agent is connected for target orders\n"
          "    next: dunlin-agent --coordinator HOST:PORT --target orders=@FILE\n"
          "  a:1 (orders) is silent since 03:27:00Z (3 min): it was stopped, or it is lost\n"));
  EXPECT_THAT(text, Not(HasSubstr("billing")));
  EXPECT_THAT(Text({ARun("20261101000000_a", v1::Run::STATE_PAUSED)}, agents),
              Not(HasSubstr("AGENTS")));
  EXPECT_THAT(Text({ARun("20261101000000_a", v1::Run::STATE_RUNNING)}, {}, " --database …"),
              HasSubstr("next: dunlin local FILE --database …\n"));
}

TEST(OverviewTest, TheTwoCommandsThatStopEverythingComeLast) {
  EXPECT_THAT(
      Text({ARun("20261101000000_a", v1::Run::STATE_PENDING)}, {Agent("a:1", "orders", true)}),
      EndsWith("stop everything:                dunlin pause all --reason WHY\n"
               "without dunlin, in a database:  SELECT dunlin.stop('WHY')\n"));
}

TEST(OverviewTest, ANameOnSeveralTargetsSaysWhich) {
  v1::Run one = ARun("20261101000000_a", v1::Run::STATE_FAILED, "eu");
  const std::string text = Text({one, ARun("20261101000000_a", v1::Run::STATE_RUNNING, "us")}, {});
  EXPECT_THAT(text, HasSubstr("next: dunlin resume 20261101000000_a@eu\n"));
}

TEST(OverviewTest, OfManyTheFirstAreShownAndTheRestCounted) {
  std::vector<v1::Run> runs;
  for (int i = 10; i < 40; ++i)
    runs.push_back(ARun(absl::StrCat("202611", i, "000000_a"), v1::Run::STATE_PENDING));
  const std::string text = Text(runs, {});
  EXPECT_THAT(text, HasSubstr("20261117000000_a on orders"));
  EXPECT_THAT(text, Not(HasSubstr("20261118000000_a")));
  EXPECT_THAT(text, HasSubstr("  and 22 more: dunlin list\n"));
}

TEST(OverviewTest, ATerminalIsNotOverrunButWhatIsCopiedStaysWhole) {
  v1::Run failed = ARun("20261101000000_a_name_that_is_long_enough_to_fill_the_whole_line",
                        v1::Run::STATE_FAILED);
  failed.set_error("a sentence that takes more than the forty columns of this terminal, in words");
  const std::string text = OverviewText({.runs = {failed}, .agents = {}, .now = kNow, .reach = ""},
                                        {.width = 40, .colour = false});
  EXPECT_THAT(text, HasSubstr("\n    a sentence that takes more than the\n"
                              "      forty columns of this terminal, in\n      words\n"));
  EXPECT_THAT(text,
              HasSubstr("\n    next: dunlin resume "
                        "20261101000000_a_name_that_is_long_enough_to_fill_the_whole_line\n"));
  EXPECT_THAT(text, Not(HasSubstr("\033["))) << "no colour unless asked";
}

TEST(OverviewTest, TheObjectHasTheSame) {
  v1::Run failed = ARun("20261101000000_a", v1::Run::STATE_FAILED);
  failed.set_run_id("f");
  v1::Run running = ARun("20261102000000_b", v1::Run::STATE_RUNNING);
  AddSignal(running, 3, "3 sessions wait");
  const nlohmann::json out =
      OverviewJson({.runs = {failed, running}, .agents = {}, .now = kNow, .reach = ""});
  EXPECT_EQ(out["runs"].size(), 2u);
  EXPECT_EQ(out["needs_person"].dump(),
            R"([{"next_command":"dunlin resume 20261101000000_a","run_id":"f"}])");
  EXPECT_EQ(out["over_limit"][0]["since_time"], "2026-11-24T03:28:00Z");
  EXPECT_EQ(out["missing_targets"].dump(), R"(["orders"])");
}

}  // namespace
}  // namespace dunlin::cli
