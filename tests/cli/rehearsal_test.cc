// The parts of `dunlin test` that need no database.
#include "cli/rehearsal/rehearsal.h"

#include <atomic>
#include <thread>

#include "cli/rehearsal/interrupter.h"
#include "cli/rehearsal/scratch_database.h"
#include <gmock/gmock.h>

#include "common/migration/parser.h"

namespace dunlin::cli {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<pg::Command> Call(const std::string& sql) {
  return {{.statement = {"", sql}, .parameters = {"differs with every epoch"}}};
}
std::vector<pg::Outcome> Answer(const std::string& tag) {
  return {{.status = absl::OkStatus(), .result = {.command_tag = tag}}};
}

TEST(InterrupterTest, KillsOnceBeforeACallAndOnceBehindIt) {
  Interrupter interrupter(absl::ZeroDuration(), "advance");
  EXPECT_FALSE(interrupter.MayCall(Call("SELECT 1")));
  EXPECT_TRUE(interrupter.killed());
  EXPECT_FALSE(interrupter.MayCall(Call("SELECT 2"))) << "the process is gone";
  interrupter.Revive();
  EXPECT_TRUE(interrupter.MayCall(Call("SELECT 1")));
  EXPECT_TRUE(interrupter.MayAnswer(Call("SELECT 1"), Answer("SELECT 1"))) << "nothing in doubt";
  EXPECT_FALSE(interrupter.MayAnswer(Call("SELECT 1"), Answer("UPDATE 1")));
  interrupter.Revive();
  EXPECT_TRUE(interrupter.MayCall(Call("SELECT 1")));
  EXPECT_TRUE(interrupter.MayAnswer(Call("SELECT 1"), Answer("UPDATE 1"))) << "met before";
  EXPECT_EQ(interrupter.kills(), 2);
}

TEST(InterrupterTest, TheSameCallBehindABatchIsAnotherStep) {
  Interrupter interrupter(absl::ZeroDuration(), "advance");
  const std::vector<pg::Command> batch = {{.statement = {"advance", "SELECT 1"}},
                                          {.statement = {"", "COMMIT"}}};
  const std::vector<pg::Outcome> answers = {{},
                                            {.status = {}, .result = {.command_tag = "COMMIT"}}};
  EXPECT_FALSE(interrupter.MayCall(batch));
  interrupter.Revive();
  EXPECT_TRUE(interrupter.MayCall(batch));
  // It was committed, whether the answer arrives or not.
  EXPECT_FALSE(interrupter.MayAnswer(batch, answers));
  interrupter.Revive();
  EXPECT_FALSE(interrupter.MayCall(batch));
}

TEST(InterrupterTest, OtherCommitsAreNoProgress) {
  Interrupter interrupter(absl::ZeroDuration(), "advance");
  EXPECT_FALSE(interrupter.MayCall(Call("COMMIT")));
  interrupter.Revive();
  EXPECT_TRUE(interrupter.MayCall(Call("COMMIT")));
  EXPECT_FALSE(interrupter.MayAnswer(Call("COMMIT"), Answer("COMMIT")));
  interrupter.Revive();
  EXPECT_TRUE(interrupter.MayCall(Call("COMMIT"))) << "else the work would never end";
}

// Of what a dead process had found out nothing may be told.
TEST(InterrupterTest, WhatWasInWorkIsHeldUntilReleased) {
  Interrupter interrupter(absl::Seconds(60), "advance");
  std::atomic<bool> returned = false;
  std::jthread worker([&] {
    EXPECT_FALSE(interrupter.MayCall(Call("SELECT 1")));
    returned = true;
  });
  while (!interrupter.WaitUntilKilled(absl::Seconds(1))) continue;
  EXPECT_FALSE(returned);
  interrupter.Release();
  worker.join();
  EXPECT_TRUE(interrupter.killed());
}

TEST(SnapshotTest, DifferencesAreOfRowsAndOfHowOftenTheyAreThere) {
  const Snapshot wanted = {{"t", {"a", "a", "b"}}, {"u", {"x"}}};
  EXPECT_THAT(CompareSnapshots(wanted, wanted), IsEmpty());
  const auto found = CompareSnapshots(wanted, {{"t", {"a", "b", "c"}}, {"v", {"y"}}});
  ASSERT_THAT(found, SizeIs(4));
  EXPECT_EQ(found[0].row, "a");
  EXPECT_FALSE(found[0].unexpected);
  EXPECT_EQ(found[1].row, "c");
  EXPECT_TRUE(found[1].unexpected);
  EXPECT_EQ(found[2].table, "u");
  EXPECT_EQ(found[3].table, "v");
}

TEST(RehearsalTest, WhatBelongsToADeployIsLeftOut) {
  const std::string text =
      "description: d\ntarget: [a]\ndepends_on: [20261101000000_x]\ncritical: true\nlimits: "
      "{pause: "
      "1h}\nonce: DELETE FROM t\n";
  const auto parsed = ParseMigrationOrError("f", RehearsedDefinition(text));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->targets, IsEmpty());
  EXPECT_FALSE(parsed->has_depends_on);
  EXPECT_FALSE(parsed->critical);
  EXPECT_EQ(parsed->limits.pause, absl::ZeroDuration());
}

}  // namespace
}  // namespace dunlin::cli
