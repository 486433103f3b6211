#include "agent/check/plan_advice.h"

#include <gmock/gmock.h>

namespace dunlin::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

PlanFacts Read(absl::string_view json) {
  const auto facts = ReadPlan(json);
  EXPECT_TRUE(facts.ok()) << facts.status();
  return facts.ok() ? *facts : PlanFacts();
}

TEST(PlanAdviceTest, AScanThatTheKeyBoundsIsFine) {
  const PlanFacts facts = Read(R"j([{"Plan": {"Node Type": "ModifyTable", "Operation": "Update",
    "Relation Name": "t", "Schema": "public", "Plans": [
      {"Node Type": "Index Scan", "Relation Name": "t", "Schema": "public", "Index Cond": "(id > 1)"}]}}])j");
  EXPECT_THAT(facts.read_whole, IsEmpty());
  EXPECT_THAT(facts.copied_from, IsEmpty());
}

TEST(PlanAdviceTest, ASequentialScanAndAnIndexScanWithoutAConditionReadTheWhole) {
  const PlanFacts facts = Read(R"j([{"Plan": {"Node Type": "ModifyTable", "Operation": "Delete",
    "Relation Name": "t", "Schema": "public", "Plans": [
      {"Node Type": "Nested Loop", "Plans": [
        {"Node Type": "Seq Scan", "Relation Name": "t", "Schema": "public"},
        {"Node Type": "Index Scan", "Relation Name": "u", "Schema": "public", "Filter": "x"}]}]}}])j");
  EXPECT_THAT(facts.read_whole, ElementsAre("public.t", "public.u"));
}

TEST(PlanAdviceTest, ABitmapScanIsBoundedByItsIndexes) {
  const PlanFacts facts = Read(R"j([{"Plan": {"Node Type": "Bitmap Heap Scan", "Relation Name": "t",
    "Schema": "public", "Plans": [{"Node Type": "Bitmap Index Scan", "Index Cond": "(id > 1)"}]}}])j");
  EXPECT_THAT(facts.read_whole, IsEmpty());
}

TEST(PlanAdviceTest, Trap11_WhatIsWrittenFromOtherRowsIsToldApart) {
  const PlanFacts update = Read(R"j([{"Plan": {"Node Type": "ModifyTable", "Operation": "Update",
    "Relation Name": "t", "Schema": "public", "Plans": [{"Node Type": "Nested Loop", "Plans": [
      {"Node Type": "Index Scan", "Relation Name": "t", "Schema": "public", "Index Cond": "(id > 1)"},
      {"Node Type": "Index Scan", "Relation Name": "u", "Schema": "public", "Index Cond": "(id = t.u)"}]}]}}])j");
  EXPECT_THAT(update.copied_from, ElementsAre("public.u"));
  const PlanFacts insert = Read(R"j([{"Plan": {"Node Type": "ModifyTable", "Operation": "Insert",
    "Relation Name": "v", "Schema": "public", "Plans": [
      {"Node Type": "Index Scan", "Relation Name": "t", "Schema": "public", "Index Cond": "(id > 1)"}]}}])j");
  EXPECT_THAT(insert.copied_from, ElementsAre("public.t"));
  const PlanFacts counts = Read(R"j([{"Plan": {"Node Type": "ModifyTable", "Operation": "Update",
    "Relation Name": "t", "Schema": "public", "Plans": [
      {"Node Type": "Index Scan", "Relation Name": "t", "Schema": "public", "Index Cond": "(id > 1)", "Plans": [
        {"Node Type": "Aggregate", "Plans": [
          {"Node Type": "Index Scan", "Relation Name": "t", "Schema": "public", "Index Cond": "(g = t.g)"}]}]}]}}])j");
  EXPECT_THAT(counts.copied_from, ElementsAre("public.t"));
}

TEST(PlanAdviceTest, WhatIsNoPlanIsRefused) {
  EXPECT_FALSE(ReadPlan("Seq Scan on t").ok());
  EXPECT_FALSE(ReadPlan("[]").ok());
}

}  // namespace
}  // namespace dunlin::agent
