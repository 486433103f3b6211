#include "agent/check/judgement.h"

#include <gmock/gmock.h>

namespace dunlin::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using Again = StepTrial::Again;

RowImage Row(const std::string& key, const std::string& json) {
  return {.key = key, .json = json, .bytes = 100};
}

TEST(JudgementTest, ChangesNameTheKeyAndTheColumnsThatDiffer) {
  const auto changes = CompareImages(
      {"a", "b"}, {Row("{1,x}", R"({"n": 1, "m": "é"})"), Row("{2,y}", R"({"n": 1})")},
      {Row("{1,x}", R"({"n": 2, "m": "é"})")});
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].key, "a=1 b=x");
  EXPECT_THAT(changes[0].before, ElementsAre(Pair("n", "1")));
  EXPECT_THAT(changes[0].after, ElementsAre(Pair("n", "2")));
  EXPECT_THAT(changes[1].after, IsEmpty());
  EXPECT_THAT(ChangedColumns(changes), ElementsAre("n"));
}

TEST(JudgementTest, RowsOfEqualKeysAreAllCompared) {
  const std::vector<RowImage> before = {Row("{1}", R"({"n": 1})"), Row("{1}", R"({"n": 2})")};
  EXPECT_THAT(CompareImages({"k"}, before, {before[1], before[0]}), IsEmpty());
  EXPECT_EQ(CompareImages({"k"}, before, {before[0]}).size(), 1u);
}

TEST(JudgementTest, ASecondRunIsJudgedByRowsAndByCounts) {
  Probe probe{.twice = true,
              .rows_changed = 1,
              .after = {Row("{1}", "{\"n\": 1}")},
              .again = {Row("{1}", "{\"n\": 1}")}};
  EXPECT_EQ(JudgeAgain(probe, {7}, true), Again::kNothing);
  EXPECT_EQ(JudgeAgain(probe, {7}, false), Again::kUnknown);
  probe.effects_again = {{.table = "t", .oid = 7, .updated = 1}};
  EXPECT_EQ(JudgeAgain(probe, {7}, true), Again::kNothing) << "written, with the same values";
  EXPECT_EQ(JudgeAgain(probe, {8}, true), Again::kUnknown) << "in a table not looked at";
  probe.effects_again = {{.table = "t", .oid = 8, .inserted = 1}};
  EXPECT_EQ(JudgeAgain(probe, {7}, true), Again::kChanges);
  probe.effects_again = {};
  probe.again = {Row("{1}", "{\"n\": 2}")};
  EXPECT_EQ(JudgeAgain(probe, {7}, true), Again::kChanges);
  probe.rows_changed = 0;
  EXPECT_EQ(JudgeAgain(probe, {7}, true), Again::kUnknown) << "there was nothing to do";
}

TEST(JudgementTest, Trap10_KeysThatMoveAreToldFromRowsThatGo) {
  Probe probe{.before = {Row("{1}", "{}"), Row("{2}", "{}")}, .after = {Row("{2}", "{}")}};
  EXPECT_TRUE(MovesKeys(probe));
  probe.effects = {{.table = "t", .deleted = 1}};
  EXPECT_FALSE(MovesKeys(probe));
  probe.effects = {};
  probe.after = probe.before;
  EXPECT_FALSE(MovesKeys(probe));
}

TEST(JudgementTest, TheCostOfAllFollowsFromOneBatch) {
  Probe timed{.took = absl::Milliseconds(98),
              .wal_bytes = 200'000,
              .effects = {{.table = "t", .oid = 1, .updated = 1000}}};
  const Probe looked{.before = {Row("{1}", "{}"), Row("{2}", "{}")}};
  const std::vector<RowChange> changes = {{.key = "", .before = {{"n", "12345"}}, .after = {}}};
  const Estimate estimate =
      MakeEstimate({.rows = 10'000, .batch_rows = 1000, .concurrency = 4}, timed, looked, changes);
  EXPECT_EQ(estimate.alone, absl::Seconds(1));
  EXPECT_EQ(estimate.at_best, absl::Milliseconds(250));
  EXPECT_EQ(estimate.wal_bytes, 2'000'000);
  EXPECT_EQ(estimate.dead_bytes, 10'000 * 100);
  EXPECT_EQ(estimate.before_image_bytes, 10'000 / 2 * 85);
}

TEST(JudgementTest, AFullBatchIsSizedByTheFirstOne) {
  EXPECT_EQ(RowsFor(absl::Milliseconds(100), 100, absl::Milliseconds(10)), 1000);
  EXPECT_EQ(RowsFor(absl::Milliseconds(100), 100, absl::ZeroDuration()), 2000);
  EXPECT_EQ(RowsFor(absl::Milliseconds(5), 100, absl::Seconds(1)), 1);
  EXPECT_EQ(RowsFor(absl::Seconds(10), 10'000, absl::Milliseconds(1)), 20'000);
}

}  // namespace
}  // namespace dunlin::agent
