#include "common/migration/batch_advice.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dunlin {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Advice(absl::string_view sql) {
  const LexedSql lexed = LexSql(sql, {"batch"});
  EXPECT_FALSE(lexed.problem) << sql;
  return AdviseOnBatch(sql, lexed.tokens);
}

TEST(BatchAdviceTest, Trap12_IsQuietWhenBatchIsAndedAtTheTop) {
  for (const std::string sql : {
           "UPDATE t SET a = 1 WHERE :batch",
           "UPDATE t SET a = 1 WHERE (b OR c) AND :batch",
           "UPDATE t SET a = (b OR c) WHERE :batch",
           "UPDATE t SET a = b OR c WHERE :batch",
           "UPDATE t SET a = 1 WHERE NOT b AND :batch",
           "UPDATE t SET a = 1 WHERE (d AND :batch)",
           "UPDATE t SET a = 1 WHERE CASE WHEN b OR c THEN d ELSE e END AND :batch",
           "UPDATE t SET a = 1 WHERE a IS DISTINCT FROM b AND :batch",
           "UPDATE t SET a = 1 WHERE \"or\" AND t.or AND :batch",
           "WITH x AS (SELECT 1 FROM t WHERE :batch) UPDATE u SET a = 1 FROM x WHERE b OR c",
           "SELECT DISTINCT ON (a) a FROM t JOIN u ON a = b AND :batch(t) WHERE c OR d",
           "SELECT count(*) FROM t WHERE a IN (SELECT b FROM u WHERE c OR d) AND :batch",
           "MERGE INTO t USING s ON t.id = s.id AND :batch(t) WHEN MATCHED THEN UPDATE SET a = 1",
           "DELETE FROM t USING u WHERE t.id = u.id AND :batch(t)",
           "INSERT INTO t SELECT a FROM u WHERE :batch(u) ON CONFLICT DO NOTHING",
       }) {
    EXPECT_THAT(Advice(sql), ElementsAre()) << sql;
  }
}

TEST(BatchAdviceTest, Trap12_TellsOfAnOrBesideBatch) {
  for (const std::string sql : {
           "UPDATE t SET a = 1 WHERE b OR c AND :batch",
           "UPDATE t SET a = 1 WHERE :batch AND b or c",
           "UPDATE t SET a = 1 WHERE a IS DISTINCT FROM b OR c AND :batch",
           "UPDATE t SET a = 1 WHERE b AND (c OR :batch)",
           "UPDATE t SET a = 1 WHERE (b AND :batch) OR c",
           "WITH x AS (SELECT 1 FROM t WHERE b OR :batch) SELECT 1",
           "SELECT 1 FROM t JOIN u ON b OR :batch(t)",
       }) {
    EXPECT_THAT(Advice(sql), ElementsAre(HasSubstr("beside an OR"))) << sql;
  }
}

TEST(BatchAdviceTest, Trap12_TellsOfBatchUnderNot) {
  for (const std::string sql :
       {"UPDATE t SET a = 1 WHERE NOT :batch", "UPDATE t SET a = 1 WHERE NOT (b AND :batch)"}) {
    EXPECT_THAT(Advice(sql), ElementsAre(HasSubstr("under NOT"))) << sql;
  }
}

TEST(BatchAdviceTest, Trap12_TellsOfBatchOutsideWhereAndOn) {
  EXPECT_THAT(Advice("SELECT :batch FROM t"), ElementsAre(HasSubstr("1:8 stands in SELECT list")));
  EXPECT_THAT(Advice("UPDATE t SET a = :batch"), ElementsAre(HasSubstr("in SET")));
  EXPECT_THAT(Advice("SELECT count(*) FILTER (WHERE :batch) FROM t"),
              ElementsAre(HasSubstr("in FILTER")));
  EXPECT_THAT(Advice("SELECT 1 FROM t WHERE CASE WHEN :batch THEN a END"),
              ElementsAre(HasSubstr("in CASE")));
  EXPECT_THAT(Advice("SELECT 1 FROM t GROUP BY a HAVING :batch"),
              ElementsAre(HasSubstr("in HAVING")));
}

TEST(BatchAdviceTest, Trap12_TellsOfBatchInTheOnOfAnOuterJoin) {
  EXPECT_THAT(Advice("SELECT 1 FROM t LEFT JOIN u ON a AND :batch(u)"),
              ElementsAre(HasSubstr("outer join")));
  EXPECT_THAT(Advice("SELECT 1 FROM t FULL OUTER JOIN u ON :batch(u)"),
              ElementsAre(HasSubstr("outer join")));
  EXPECT_THAT(Advice("SELECT left(a, 1) FROM t INNER JOIN u ON :batch(u)"), ElementsAre());
}

}  // namespace
}  // namespace dunlin
