#include "common/migration/sql_statement.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dunlin {
namespace {

using ::testing::HasSubstr;

StatementFacts Examine(absl::string_view sql) {
  const LexedSql lexed = LexSql(sql, {});
  EXPECT_FALSE(lexed.problem) << sql;
  return ExamineStatement(sql, lexed.tokens);
}

TEST(SqlStatementTest, Trap12_FindsTheVerbOfTheMainQuery) {
  struct Case {
    std::string sql, verb;
    bool modifies;
  };
  const std::vector<Case> cases = {
      {"update t SET a = 1", "UPDATE", true},
      {"INSERT INTO t SELECT 1", "INSERT", true},
      {"DELETE FROM t", "DELETE", true},
      {"MERGE INTO t USING s ON a = b WHEN MATCHED THEN DELETE", "MERGE", true},
      {"-- c\n/* c */ SELECT 1;  -- end", "SELECT", false},
      {"SELECT 1;;", "SELECT", false},
      {"(SELECT 1) UNION (SELECT 2)", "SELECT", false},
      {"WITH a AS (SELECT 1) UPDATE t SET x = 1", "UPDATE", true},
      {"WITH a AS (SELECT 1), b (x, y) AS NOT MATERIALIZED (SELECT 2) DELETE FROM t", "DELETE",
       true},
      {"WITH RECURSIVE a AS MATERIALIZED (SELECT 1) SELECT 1", "SELECT", false},
      {"WITH RECURSIVE a AS (SELECT 1) SEARCH DEPTH FIRST BY x, y SET o, b AS (SELECT 1) SELECT 1",
       "SELECT", false},
      {"WITH RECURSIVE a AS (SELECT 1) CYCLE x SET c USING p UPDATE t SET a = 1", "UPDATE", true},
      {"WITH update AS (SELECT 1) SELECT * FROM update", "SELECT", false},
      {"WITH \"as\" AS (SELECT 1) (SELECT 1)", "SELECT", false},
      {"WITH d AS (DELETE FROM t RETURNING *) SELECT count(*) FROM d", "SELECT", true},
      {"WITH d AS (UPDATE t SET a = 1 RETURNING *) SELECT 1", "SELECT", true},
      {"WITH d AS (INSERT INTO t VALUES (1) RETURNING *) SELECT 1", "SELECT", true},
      {"SELECT 1 FROM t FOR UPDATE", "SELECT", false},
      {"SELECT count(update) FROM t FOR NO KEY UPDATE", "SELECT", false},
      {"SELECT a AS into FROM t", "SELECT", false},
  };
  for (const Case& c : cases) {
    const StatementFacts facts = Examine(c.sql);
    ASSERT_FALSE(facts.problem) << c.sql << ": " << facts.problem->message;
    EXPECT_EQ(facts.verb, c.verb) << c.sql;
    EXPECT_EQ(facts.modifies, c.modifies) << c.sql;
  }
}

TEST(SqlStatementTest, Trap12_RefusesEverythingElse) {
  struct Case {
    std::string sql, message;
  };
  const std::vector<Case> cases = {
      {"", "there is no statement"},
      {" -- nothing\n;", "there is no statement"},
      {"SELECT 1; SELECT 2", "a second statement"},
      {"UPDATE t SET a = 1; COMMIT;", "a second statement"},
      {"; SELECT 1", "a second statement"},
      {"COMMIT", "not with 'COMMIT'"},
      {"call f()", "not with 'CALL'"},
      {"DO $$ BEGIN END $$", "not with 'DO'"},
      {"TRUNCATE t", "not with 'TRUNCATE'"},
      {"VALUES (1)", "not with 'VALUES'"},
      {"TABLE t", "not with 'TABLE'"},
      {"EXPLAIN SELECT 1", "not with 'EXPLAIN'"},
      {"COPY t FROM STDIN", "not with 'COPY'"},
      {"ALTER TABLE t ADD a int", "not with 'ALTER'"},
      {"'SELECT'", "not with"},
      {"WITH a AS (SELECT 1)", "no main query"},
      {"WITH a AS (SELECT 1) TABLE a", "not with 'TABLE'"},
      {"SELECT a INTO b FROM c", "creates a table"},
      {"(SELECT a INTO TEMP b FROM c)", "creates a table"},
      {"WITH x AS (SELECT 1) SELECT * INTO b FROM x", "creates a table"},
  };
  for (const Case& c : cases) {
    const StatementFacts facts = Examine(c.sql);
    ASSERT_TRUE(facts.problem) << c.sql;
    EXPECT_THAT(facts.problem->message, HasSubstr(c.message)) << c.sql;
  }
}

}  // namespace
}  // namespace dunlin
