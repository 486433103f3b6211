#include "cli/story.h"

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dunlin::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const absl::Time kThisMorning =
    absl::FromCivil(absl::CivilSecond(2026, 11, 24, 3, 30), absl::UTCTimeZone());

v1::RunEvent Event(int64_t revision, const std::string& kind, const std::string& from,
                   const std::string& to, const std::string& reason = "") {
  v1::RunEvent event;
  event.set_revision(revision);
  event.set_kind(kind);
  event.set_actor("ada");
  event.set_old_value(from);
  event.set_new_value(to);
  event.set_reason(reason);
  event.mutable_event_time()->set_seconds(absl::ToUnixSeconds(kThisMorning) - 600 + revision);
  return event;
}

Story AStory() {
  Story story{.name = "20261101000000", .reach = "", .now = kThisMorning};
  story.run.set_run_id("8a0c");
  story.run.set_migration("20261101000000_a");
  story.run.set_target("orders");
  story.run.set_description("Count");
  story.run.set_owner("payments");
  story.run.set_digest(std::string(64, 'd'));
  story.run.set_operator_name("ada");
  story.run.set_state(v1::Run::STATE_PAUSED);
  story.run.set_reason("paused by ada: checkout is slow");
  story.run.set_rows_done(50);
  story.run.set_rows_total(200);
  story.run.set_rows_quarantined(2);
  story.run.mutable_shards()->set_total(4);
  story.run.mutable_shards()->set_done(1);
  story.run.mutable_limits()->set_concurrency(2);
  (*story.run.mutable_labels())["team"] = "payments";
  (*story.run.mutable_labels())["area"] = "checkout";
  story.run.mutable_create_time()->set_seconds(absl::ToUnixSeconds(kThisMorning) - 599);
  story.run.mutable_state_time()->set_seconds(absl::ToUnixSeconds(kThisMorning) - 30);
  story.events = {Event(1, "run_created", "", "digest dddd", "deploy 42"),
                  Event(9, "run_state_changed", "RUNNING", "PAUSING", "checkout is slow"),
                  Event(12, "limits_changed", "concurrency 4", "concurrency 2", "sale")};
  story.events[0].set_peer("ipv4:10.0.0.7:41234");
  return story;
}

TEST(StoryTest, AScreenTellsAllOfIt) {
  EXPECT_EQ(
      StoryText(AStory(), {}),
      "20261101000000_a on orders\n"
      "  Count\n"
      "\n"
      "  state       PAUSED since 03:29:30Z (30 s)\n"
      "  because     paused by ada: checkout is slow\n"
      "  next        dunlin resume 20261101000000\n"
      "  progress    25.0 %, 50 of 200 rows; 0 changed in 0 batches\n"
      "  shards      1 of 4 done, 0 in work\n"
      "  quarantine  2 rows set aside, 0 of them accepted; see them: dunlin quarantine list "
      "20261101000000\n"
      "  limits      2 shards at once, batches of 0s\n"
      "  run         8a0c\n"
      "  digest      " +
          std::string(64, 'd') +
          "\n"
          "  started     by ada from 10.0.0.7:41234, 2026-11-24 03:20:01Z: deploy 42\n"
          "  owner       payments\n"
          "  labels      area=checkout, team=payments\n"
          "\n"
          "What happened (UTC)\n"
          "  2026-11-24 03:20:01Z  ada  run created: digest dddd: deploy 42\n"
          "  2026-11-24 03:20:09Z  ada  RUNNING → PAUSING: checkout is slow\n"
          "  2026-11-24 03:20:12Z  ada  limits changed: concurrency 4 → concurrency 2: sale\n");
}

TEST(StoryTest, WhoHoldsShardsAndSignalsAreShownWhileItRuns) {
  Story story = AStory();
  story.run.set_state(v1::Run::STATE_RUNNING);
  story.run.set_concurrency_allowed(1);
  v1::Shard shard;
  shard.set_state(v1::Shard::STATE_LEASED);
  shard.set_agent_name("host:1");
  story.shards = {shard, shard};
  v1::Run::Signal* signal = story.run.add_signals();
  signal->set_text("db2 is 7 s behind (limit 5 s)");
  signal->set_measured(true);
  signal->set_pressure(1.4);
  signal->mutable_since_time()->set_seconds(absl::ToUnixSeconds(kThisMorning) - 60);
  const std::string text = StoryText(story, {});
  EXPECT_THAT(text, HasSubstr("0 in work (host:1 holds 2)\n"));
  EXPECT_THAT(text, HasSubstr("; 1 allowed now\n"));
  EXPECT_THAT(text, HasSubstr("OVER  db2 is 7 s behind (limit 5 s), since 03:29:00Z (1 min)\n"));
  EXPECT_THAT(text, HasSubstr("  next        dunlin watch 20261101000000\n"));
}

TEST(StoryTest, WhereItStandsAmongOtherRunsAndHowItEnded) {
  Story story = AStory();
  story.run.set_kind(v1::Run::KIND_UNDO);
  story.run.set_state(v1::Run::STATE_FINISHED);
  story.run.set_reason("");
  story.run.set_follows_run_id("f0");
  story.run.set_followed_by_run_id("f1");
  story.run.set_superseded_by("20261105000000_b");
  story.run.set_step(2);
  story.run.set_steps(2);
  story.run.set_critical(true);
  (*story.run.mutable_parameters())["rate"] = "1.2";
  story.run.mutable_finish_time()->set_seconds(absl::ToUnixSeconds(kThisMorning) - 59);
  std::string text = StoryText(story, {});
  EXPECT_THAT(text, StartsWith("20261101000000_a (undo) on orders\n"));
  EXPECT_THAT(text, HasSubstr("  next        dunlin redo 20261101000000\n"
                              "  superseded  by 20261105000000_b\n"
                              "  followed by run f1\n"
                              "  takes back  run f0\n"));
  EXPECT_THAT(text, HasSubstr("  progress    100.0 %, "));
  EXPECT_THAT(text, HasSubstr("; step 2 of 2\n"));
  EXPECT_THAT(text, HasSubstr("  ended       2026-11-24 03:29:01Z, after 9 min\n"
                              "  critical    not approved yet\n"));
  EXPECT_THAT(text, HasSubstr("  parameters  rate=1.2\n"));
  EXPECT_THAT(text, Not(HasSubstr("because")));
  story.run.set_kind(v1::Run::KIND_BASELINE);
  story.run.set_approved_by("grace");
  text = StoryText(story, {});
  EXPECT_THAT(text, HasSubstr("  baseline    recorded as done elsewhere\n"
                              "  follows     run f0\n"));
  EXPECT_THAT(text, HasSubstr("  critical    approved by grace\n"));
}

TEST(StoryTest, AProblemIsCalledSoAndCommandsReachWhereItRuns) {
  Story story = AStory();
  story.run.set_error("column nope does not exist");
  story.reach = " --database …";
  for (int agent = 1; agent <= 5; ++agent) {
    v1::Shard shard;
    shard.set_state(v1::Shard::STATE_LEASED);
    shard.set_agent_name(absl::StrCat("a:", agent));
    story.shards.push_back(shard);
  }
  v1::Shard done;
  done.set_state(v1::Shard::STATE_DONE);
  done.set_agent_name("b:1");
  story.shards.push_back(done);
  story.events[0].set_peer("ipv6:%5B::1%5D:41234");
  for (int i = 13; i < 40; ++i) story.events.push_back(Event(i, "problem", "", ""));
  const std::string text = StoryText(story, {});
  EXPECT_THAT(text, HasSubstr("  error       column nope does not exist\n"));
  EXPECT_THAT(text, HasSubstr("  next        dunlin resume 20261101000000 --database …\n"));
  EXPECT_THAT(text, HasSubstr("dunlin quarantine list 20261101000000 --database …\n"));
  EXPECT_THAT(text, HasSubstr("dunlin events 20261101000000 --database …\n"));
  EXPECT_THAT(text,
              HasSubstr("(a:1 holds 1, a:2 holds 1, a:3 holds 1, a:4 holds 1, 1 more agent)"));
  EXPECT_THAT(text, HasSubstr("by ada from [::1]:41234, "));
}

TEST(StoryTest, ALongStoryIsToldByItsBeginningAndItsEnd) {
  Story story = AStory();
  for (int i = 13; i < 60; ++i)
    story.events.push_back(Event(i, "problem", "", "", absl::StrCat("number ", i)));
  const std::string text = StoryText(story, {});
  EXPECT_THAT(text, HasSubstr("sale\n  … 35 more: dunlin events 20261101000000\n"));
  EXPECT_THAT(text, Not(HasSubstr("number 47\n")));
  EXPECT_THAT(text, HasSubstr("number 48\n"));
  EXPECT_THAT(text, HasSubstr("number 59\n"));
}

TEST(EventsTest, ALineEachOrTwoWhereTheTerminalIsNarrow) {
  const Story story = AStory();
  EXPECT_THAT(
      EventsText(story.events, {}),
      HasSubstr("9         2026-11-24 03:20:09Z  ada                      run_state_changed  "
                "RUNNING → PAUSING              checkout is slow\n"));
  EXPECT_THAT(EventsText(story.events, {.width = 80, .colour = false}),
              StartsWith("1  2026-11-24 03:20:01Z  ada from 10.0.0.7:41234\n"
                         "    run created: digest dddd: deploy 42\n"
                         "9  2026-11-24 03:20:09Z  ada\n"));
}

}  // namespace
}  // namespace dunlin::cli
