// Each tool's lock, held by a session of its own on a real server.
#include "agent/task/schema_locks.h"

#include "absl/strings/str_cat.h"

#include "agent/task/schema_tools.h"
#include "common/pg/session.h"
#include "tests/agent/agent_fixture.h"

namespace dunlin::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SchemaLocksTest : public AgentTest {
 protected:
  // A session that has run that, and lives on.
  std::unique_ptr<pg::Connection> Session(const std::vector<std::string>& statements) {
    pg::SessionPins pins;
    pins.application_name = "bin/migrate";
    auto connection =
        pg::Connection::Connect(Secret(server_.Dsn("app")), pg::MakeSessionOptions(pins));
    EXPECT_TRUE(connection.ok()) << connection.status();
    EXPECT_TRUE((*connection)->Query("SET search_path = public").ok());
    for (const std::string& statement : statements) {
      const auto done = (*connection)->Query(statement);
      EXPECT_TRUE(done.ok()) << statement << ": " << done.status();
    }
    return *std::move(connection);
  }
  std::vector<std::string> Found(const std::vector<std::string>& tables = {}) {
    const SessionFactory sessions{Secret(server_.Dsn("app"))};
    const auto connection = sessions.OpenForTask(absl::Seconds(5), "public, pg_temp", {});
    EXPECT_TRUE(connection.ok()) << connection.status();
    const auto locks = FindSchemaLocks(**connection, tables);
    EXPECT_TRUE(locks.ok()) << locks.status();
    std::vector<std::string> texts;
    for (const SchemaLock& lock : *locks) texts.push_back(lock.text);
    return texts;
  }
  void ExpectFound(const std::string& statement, const std::string& what) {
    const auto session = Session({statement});
    const auto pid = session->Query("SELECT pg_backend_pid()");
    ASSERT_TRUE(pid.ok());
    EXPECT_THAT(Found(), ElementsAre(absl::StrCat(what, " is held by pid ", pid->Text(0, 0),
                                                  " (application bin/migrate)")));
  }
};

// The numbers are worked out apart from this code, by each tool's rule for a database `app`.
TEST_F(SchemaLocksTest, EachToolsAdvisoryLockIsKnown) {
  ExpectFound("SELECT pg_advisory_lock(6939591962871035475)", "the migration lock of Rails");
  ExpectFound("SELECT pg_advisory_lock(1787120056)", "the migration lock of golang-migrate");
  ExpectFound("SELECT pg_advisory_lock(77431708279161 + (2125624436))",
              "the migration lock of Flyway");
  ExpectFound("SELECT pg_advisory_lock(3469795979745788610)", "the migration lock of sqlx");
  ExpectFound("SELECT pg_advisory_lock(72707369)", "the migration lock of Prisma");
  ExpectFound("SELECT pg_advisory_lock(5887940537704921958)", "the migration lock of goose");
  ExpectFound("SELECT pg_advisory_lock(7241865325823964)", "the migration lock of node-pg-migrate");
  EXPECT_THAT(Found(), IsEmpty()) << "all of them have ended";
}

TEST_F(SchemaLocksTest, GolangMigratesLockIsNamedAfterItsTable) {
  {
    const auto session = Session({"SELECT pg_advisory_lock(2747283147)"});
    EXPECT_THAT(Found(), IsEmpty()) << "no such table";
  }
  Exec("CREATE SCHEMA billing; CREATE TABLE billing.versions (version bigint, dirty boolean)");
  ExpectFound("SELECT pg_advisory_lock(2747283147)", "the migration lock of golang-migrate");
}

TEST_F(SchemaLocksTest, AnApplicationsOwnAdvisoryLocksAreNone) {
  const auto session =
      Session({"SELECT pg_advisory_lock(42)", "SELECT pg_advisory_lock(0, 72707369)",
               "SELECT pg_advisory_lock(7487822156886640800)"});
  EXPECT_THAT(Found({"items"}), IsEmpty()) << "Rails' lock of another database neither";
}

TEST_F(SchemaLocksTest, AnAdvisoryLockBesideAlembicsRecordIsAMigration) {
  Exec("CREATE TABLE alembic_version (version_num text)");
  const auto reader = Session({"BEGIN", "SELECT * FROM alembic_version"});
  EXPECT_THAT(Found(), IsEmpty()) << "a look at the version alone is none";
  const auto session =
      Session({"BEGIN", "SELECT pg_advisory_xact_lock(10000)", "SELECT * FROM alembic_version"});
  EXPECT_THAT(
      Found(),
      ElementsAre(HasSubstr("an advisory lock, with alembic_version in use, is held by pid ")));
}

TEST_F(SchemaLocksTest, LiquibasesRowIsReadWhereverItsTableIs) {
  Exec(
      "CREATE SCHEMA lb; CREATE TABLE lb.databasechangeloglock (id int, locked boolean, "
      "lockgranted "
      "timestamp, lockedby text); INSERT INTO lb.databasechangeloglock VALUES (1, false)");
  EXPECT_THAT(Found(), IsEmpty());
  Exec("UPDATE lb.databasechangeloglock SET locked = true, lockedby = 'ci-7 (10.0.0.7)'");
  EXPECT_THAT(
      Found(),
      ElementsAre("the migration lock of Liquibase (lb.databasechangeloglock) is held "
                  "by ci-7 (10.0.0.7); if no Liquibase is running: liquibase release-locks"));
}

TEST_F(SchemaLocksTest, AnExclusiveLockOnTheTableOrOnOneOfItsPartitionsIsFound) {
  MakeItems(10);
  Exec(
      "CREATE TABLE parts (id int) PARTITION BY RANGE (id); CREATE TABLE part1 PARTITION OF parts "
      "FOR "
      "VALUES FROM (0) TO (10)");
  const auto session = Session({"BEGIN", "ALTER TABLE items ADD COLUMN more int"});
  EXPECT_THAT(Found({"parts"}), IsEmpty()) << "another table";
  EXPECT_THAT(Found({"public.items", "nosuch"}),
              ElementsAre(HasSubstr("an AccessExclusiveLock on public.items is held by pid ")));
  const auto other = Session({"BEGIN", "LOCK TABLE part1 IN ACCESS EXCLUSIVE MODE"});
  EXPECT_THAT(Found({"parts"}),
              ElementsAre(HasSubstr("an AccessExclusiveLock on parts is held by pid ")));
}

}  // namespace
}  // namespace dunlin::agent
