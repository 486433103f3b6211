#include "common/migration/parser.h"

#include <cmath>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dunlin {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Definition Parsed(absl::string_view text) {
  auto definition = ParseMigrationOrError("f.yaml", text);
  EXPECT_TRUE(definition.ok()) << definition.status();
  return definition.ok() ? *std::move(definition) : Definition();
}

TEST(ParserTest, ReadsEveryField) {
  const Definition d = Parsed(R"(
description: Copy the cancellation time of old reservations into cancelled_on
owner: payments
target: orders
depends_on: [20261101090000_backfill_status]
table: public.reservations
key: [tenant, id]
batch:
  - UPDATE reservations r SET cancelled_on = r.updated_at::date
    WHERE r.status = :status AND :batch(r)
  - DELETE FROM old_reservations o WHERE :batch(o)
where: status = 'cancelled'
lock: [SELECT 1 FROM reservations WHERE :batch FOR UPDATE]
verify: SELECT count(*) FROM reservations WHERE cancelled_on IS NULL AND :batch
requires:
  - sql: SELECT count(*) = 1 FROM information_schema.columns
    says: the schema migration has not run here
idempotent: true
parameters: {status: text, since: timestamptz}
limits:
  batch_time: 250ms
  concurrency: 8
  rows_per_second: 20000
  pause: 10ms
  barrier_timeout: 1m
  verify_timeout: 1h
on_pressure:
  replica_lag: 30s
  replica_lag_bytes: 1.5GB
  lock_waits: off
  dead_rows: 2.5
  check: SELECT count(*) < 50 FROM pg_stat_activity
durability: relaxed
soak: 14d
labels: {team: payments, tier: 1}
)");
  EXPECT_EQ(d.description, "Copy the cancellation time of old reservations into cancelled_on");
  EXPECT_EQ(d.owner, "payments");
  EXPECT_THAT(d.targets, ElementsAre("orders"));
  EXPECT_TRUE(d.has_depends_on);
  EXPECT_THAT(d.depends_on, ElementsAre("20261101090000_backfill_status"));
  ASSERT_EQ(d.steps.size(), 1U);
  const StepDefinition& step = d.steps[0];
  EXPECT_EQ(step.table, "public.reservations");
  EXPECT_EQ(d.on_pressure.limits.at(SignalKind::kReplicaLag), 30);
  EXPECT_EQ(d.on_pressure.limits.at(SignalKind::kReplicaLagBytes), 1.5e9);
  EXPECT_TRUE(std::isinf(d.on_pressure.limits.at(SignalKind::kLockWaits)));
  EXPECT_EQ(d.on_pressure.limits.at(SignalKind::kDeadRows), 2.5);
  EXPECT_EQ(d.on_pressure.check->sql, "SELECT count(*) < 50 FROM pg_stat_activity");
  EXPECT_THAT(step.key, ElementsAre("tenant", "id"));
  ASSERT_EQ(step.batch.size(), 2U);
  EXPECT_EQ(step.batch[0].sql,
            "UPDATE reservations r SET cancelled_on = r.updated_at::date WHERE r.status = :status "
            "AND :batch(r)");
  EXPECT_EQ(step.batch[0].line, 9);
  EXPECT_EQ(step.batch[0].column, 5);
  EXPECT_EQ(step.where->sql, "status = 'cancelled'");
  EXPECT_FALSE(step.lock);
  EXPECT_EQ(step.lock_statements.size(), 1U);
  EXPECT_TRUE(step.verify.has_value());
  EXPECT_FALSE(step.uses_table_placeholder);
  EXPECT_FALSE(step.is_once());
  ASSERT_EQ(d.requirements.size(), 1U);
  EXPECT_EQ(d.requirements[0].says, "the schema migration has not run here");
  EXPECT_TRUE(d.idempotent);
  ASSERT_EQ(d.parameters.size(), 2U);
  EXPECT_EQ(d.parameters[0].name, "status");
  EXPECT_EQ(d.parameters[1].type, "timestamptz");
  EXPECT_EQ(d.limits.batch_time, absl::Milliseconds(250));
  EXPECT_EQ(d.limits.concurrency, 8);
  EXPECT_EQ(d.limits.rows_per_second, 20000);
  EXPECT_EQ(d.limits.pause, absl::Milliseconds(10));
  EXPECT_EQ(d.limits.barrier_timeout, absl::Minutes(1));
  EXPECT_EQ(d.limits.verify_timeout, absl::Hours(1));
  EXPECT_EQ(d.durability, Durability::kRelaxed);
  EXPECT_EQ(d.soak, absl::Hours(24 * 14));
  EXPECT_THAT(d.labels, ElementsAre(std::pair("team", "payments"), std::pair("tier", "1")));
}

TEST(ParserTest, TheDefaultsAreThoseOfTheFileFormat) {
  const Definition d = Parsed("description: d\ntable: t\nbatch: DELETE FROM t WHERE :batch\n");
  EXPECT_THAT(d.targets, IsEmpty());
  EXPECT_EQ(d.supersedes, "");
  EXPECT_FALSE(d.critical);
  EXPECT_FALSE(d.has_depends_on);
  EXPECT_FALSE(d.idempotent);
  EXPECT_EQ(d.limits.batch_time, absl::Milliseconds(100));
  EXPECT_EQ(d.limits.concurrency, 4);
  EXPECT_EQ(d.limits.rows_per_second, 0);
  EXPECT_EQ(d.durability, Durability::kStrict);
  EXPECT_EQ(d.soak, absl::Hours(24 * 7));
  EXPECT_THAT(d.steps.at(0).key, IsEmpty());
  EXPECT_FALSE(d.steps.at(0).lock);
}

TEST(ParserTest, TargetsAreANameAListOrAPattern) {
  const std::string rest = "description: d\nonce: SELECT 1\ncritical: true\n";
  EXPECT_THAT(Parsed(rest + "target: [eu, us-1]\n").targets, ElementsAre("eu", "us-1"));
  EXPECT_THAT(Parsed(rest + "target: tenant_%\n").targets, ElementsAre("tenant_%"));
  const Definition d = Parsed(rest + "target: '*'\nsupersedes: 20261101090000_backfill_status\n");
  EXPECT_THAT(d.targets, ElementsAre("*"));
  EXPECT_EQ(d.supersedes, "20261101090000_backfill_status");
  EXPECT_TRUE(d.critical);
}

TEST(ParserTest, EmptyListsAndMappingsAreValuesToo) {
  const Definition d = Parsed(
      "description: d\ndepends_on: []\nparameters: {}\nlabels: {}\nlimits: {}\nrequires: []\n"
      "once: SELECT 1\n");
  EXPECT_TRUE(d.has_depends_on);
  EXPECT_THAT(d.depends_on, IsEmpty());
  EXPECT_THAT(d.parameters, IsEmpty());
}

TEST(ParserTest, AFileMayHaveOnlyOnce) {
  const Definition d = Parsed(
      "description: d\nparameters: {v: int}\nonce:\n  - UPDATE t SET a = :v\n  - DELETE FROM u;\n");
  ASSERT_EQ(d.steps.size(), 1U);
  EXPECT_TRUE(d.steps[0].is_once());
  EXPECT_EQ(d.steps[0].once.size(), 2U);
}

TEST(ParserTest, StepsRunOneAfterTheOther) {
  const Definition d = Parsed(R"(
description: d
steps:
  - once: [INSERT INTO u SELECT 1]
  - table: t
    batch: UPDATE t SET a = 1 WHERE :batch
    lock: true
  - table: '"Odd Name"'
    key: '"Id"'
    batch: UPDATE :table SET a = 1 WHERE :batch
    verify: SELECT count(*) FROM :table WHERE :batch
)");
  ASSERT_EQ(d.steps.size(), 3U);
  EXPECT_TRUE(d.steps[0].is_once());
  EXPECT_TRUE(d.steps[1].lock);
  EXPECT_FALSE(d.steps[1].uses_table_placeholder);
  EXPECT_EQ(d.steps[2].table, "\"Odd Name\"");
  EXPECT_THAT(d.steps[2].key, ElementsAre("\"Id\""));
  EXPECT_TRUE(d.steps[2].uses_table_placeholder);
}

TEST(ParserTest, SqlKeepsTheLinesOfABlockScalar) {
  const Definition d =
      Parsed("description: d\ntable: t\nbatch: |\n\n  UPDATE t -- why\n  SET a = 1 WHERE :batch\n");
  const SqlText& sql = d.steps.at(0).batch.at(0);
  EXPECT_EQ(sql.sql, "\nUPDATE t -- why\nSET a = 1 WHERE :batch\n");
}

TEST(ParserTest, VerifyNeedsNoBatch) {
  Parsed("description: d\ntable: t\nbatch: DELETE FROM t WHERE :batch\nverify: SELECT 0\n");
}

}  // namespace
}  // namespace dunlin
