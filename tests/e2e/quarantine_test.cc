// Rows that fail alone, by the command line: set aside, shown, mended and tried again, accepted.
#include <signal.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <nlohmann/json.hpp>

#include "tests/e2e/command_fixture.h"

namespace dunlin::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kVersion = "20261123120000";

class QuarantineEndToEnd : public CommandTest {
 protected:
  // `n` counts what was done to each row; `body` must become a number.
  void MakeTable(int rows, const std::string& bad_ids) {
    server_.Exec("app",
                 absl::StrCat("CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT "
                              "0, body text NOT NULL, amount int) WITH (fillfactor = 60); INSERT "
                              "INTO items SELECT g, 0, CASE WHEN g IN (",
                              bad_ids, ") THEN 'geheim' ELSE g::text END FROM generate_series(1, ",
                              rows, ") g; ANALYZE items"));
  }
  std::string File(const std::string& more = "") {
    return Write(absl::StrCat(kVersion, "_amounts.yaml"),
                 absl::StrCat("description: Amounts as numbers\ntarget: app\ntable: items\nbatch: "
                              "UPDATE items SET amount = body::int, n = n + 1 WHERE :batch\n",
                              more));
  }
  nlohmann::json Json(std::vector<std::string> command) {
    command.insert(command.end(), {"-o", "json"});
    const RunResult result = OnDatabase(std::move(command));
    return nlohmann::json::parse(result.output, nullptr, false);
  }
  int64_t Count(const std::string& where) {
    return server_.Int("app", absl::StrCat("SELECT count(*) FROM items WHERE ", where));
  }
};

TEST_F(QuarantineEndToEnd, SevenRowsOfAHundredThousandAreSetAsideThenMendedOrAccepted) {
  const std::string bad = "5, 40001, 40002, 40003, 77777, 99998, 100000";
  MakeTable(100'000, bad);
  const std::string file = File("verify: SELECT count(*) FROM items WHERE n <> 1 AND :batch\n");
  const RunResult first = OnDatabase({"local", file});
  EXPECT_EQ(first.exit_code, 1) << first.output;
  EXPECT_THAT(first.output, HasSubstr("7 × text that is not of the type asked for (22P02)"));
  EXPECT_THAT(first.output, HasSubstr("dunlin quarantine"));
  EXPECT_THAT(first.output, Not(HasSubstr("geheim")));  // I8
  EXPECT_EQ(Count("n = 1"), 99'993);
  EXPECT_EQ(Count("n > 1"), 0);

  const auto status = Json({"status", kVersion});
  EXPECT_EQ(status["state"], "PAUSED");
  EXPECT_EQ(status["rows_quarantined"], 7);
  EXPECT_EQ(status["rows_done"], 100'000);
  EXPECT_EQ(status["rows_changed"], 99'993);
  std::vector<std::string> keys;
  const auto listed = Json({"quarantine", "list", kVersion});
  for (const auto& row : listed["quarantined"]) {
    EXPECT_EQ(row["sqlstate"], "22P02");
    keys.push_back(row["key"][0]);
  }
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(absl::StrJoin(keys, " "), "100000 40001 40002 40003 5 77777 99998");
  EXPECT_THAT(OnDatabase({"quarantine", "list", kVersion}).output, HasSubstr("(id) = (40002)"));
  EXPECT_EQ(OnDatabase({"status", kVersion}).exit_code, 1);
  const RunResult resumed = OnDatabase({"resume", kVersion});
  EXPECT_EQ(resumed.exit_code, 1);
  EXPECT_THAT(resumed.output, HasSubstr("everything is done but rows that are set aside"));

  // Four are mended and tried again; nothing else is touched.
  server_.Exec("app", "UPDATE items SET body = '7' WHERE id IN (5, 40001, 40002, 40003)");
  EXPECT_EQ(OnDatabase({"quarantine", "retry", kVersion, "--reason", "mended"}).exit_code, 0);
  const RunResult second = OnDatabase({"local", file});
  EXPECT_EQ(second.exit_code, 1) << second.output;
  EXPECT_EQ(Count("n = 1"), 99'997);
  EXPECT_EQ(Count("n > 1"), 0);
  EXPECT_EQ(Json({"status", kVersion})["rows_quarantined"], 3);
  const RunResult exported = OnDatabase({"quarantine", "export", kVersion});
  EXPECT_THAT(exported.output, ::testing::StartsWith("id\n"));
  EXPECT_THAT(exported.output, HasSubstr("\n99998\n"));

  EXPECT_EQ(OnDatabase({"quarantine", "accept", kVersion}).exit_code, 2) << "without a reason";
  EXPECT_EQ(OnDatabase({"quarantine", "accept", kVersion, "--reason", "to be deleted"}).exit_code,
            0);
  const RunResult last = OnDatabase({"local", file});
  EXPECT_EQ(last.exit_code, 0) << last.output;
  EXPECT_EQ(Count("n = 1"), 99'997);
  const auto finished = Json({"status", kVersion});
  EXPECT_EQ(finished["state"], "FINISHED");
  EXPECT_EQ(finished["rows_quarantined"], 3);
  EXPECT_EQ(finished["rows_accepted"], 3);
  EXPECT_EQ(finished["rows_changed"], 99'997);
  const RunResult events = OnDatabase({"events", kVersion});
  EXPECT_THAT(events.output, HasSubstr("quarantine_accepted"));
  EXPECT_THAT(events.output, HasSubstr("to be deleted"));
  EXPECT_THAT(events.output, HasSubstr("4 rows changed, 3 rows still fail"));
  EXPECT_EQ(OnDatabase({"quarantine", "retry", kVersion}).exit_code, 1);
}

TEST_F(QuarantineEndToEnd, Trap07_TooManyFailingRowsStopTheRunWithTheirReasons) {
  MakeTable(20'000, "0");
  server_.Exec("app",
               "UPDATE items SET body = 'geheim' WHERE id % 100 = 0; ALTER TABLE items ADD "
               "CONSTRAINT no_thirteen CHECK (id % 1000 <> 13 OR amount IS NULL)");
  const RunResult run =
      OnDatabase({"local", File("limits: {max_quarantined: 30, concurrency: 1}\n")});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.output,
              HasSubstr("31 rows are set aside, more than limits.max_quarantined (30)"));
  EXPECT_THAT(run.output, HasSubstr("× text that is not of the type asked for (22P02)"));
  EXPECT_THAT(run.output, HasSubstr("constraint no_thirteen on table items"));
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM dunlin.quarantine"), 31);
  EXPECT_LT(Count("n = 1"), 10'000);
}

TEST_F(QuarantineEndToEnd, Trap07_TheBreakerStopsASessionInWhichAQuarterFails) {
  MakeTable(20'000, "0");
  server_.Exec("app", "UPDATE items SET body = 'geheim' WHERE id % 3 = 0");
  const std::string file = File("limits: {max_quarantined: 10000, concurrency: 1}\n");
  const RunResult first = OnDatabase({"local", file});
  EXPECT_EQ(first.exit_code, 1);
  EXPECT_THAT(first.output, HasSubstr("more than a quarter"));
  const int64_t before = server_.Int("app", "SELECT count(*) FROM dunlin.quarantine");
  EXPECT_GE(before, 13);
  EXPECT_LT(before, 40);
  // By session: what is mended goes on, though a quarter of its history failed.
  server_.Exec("app", "UPDATE items SET body = '1' WHERE body = 'geheim'");
  EXPECT_EQ(OnDatabase({"quarantine", "retry", kVersion}).exit_code, 0);
  const RunResult second = OnDatabase({"local", file});
  EXPECT_EQ(second.exit_code, 0) << second.output;
  EXPECT_EQ(Count("n <> 1"), 0);
}

// Each moment at which a row is set aside or tried again, with the process killed at it.
class KilledAt : public QuarantineEndToEnd, public ::testing::WithParamInterface<const char*> {};

TEST_P(KilledAt, I1_EachRowOnceAlsoThroughQuarantineAndRetry) {
  MakeTable(3'000, "1, 1500, 1501, 3000");
  const std::string file = File("limits: {batch_time: 20ms}\n");
  const auto killed = [&](int hit) {
    Process local({"/usr/bin/env", absl::StrCat("DUNLIN_FAULT=", GetParam(), "=crash@", hit),
                   Binary("dunlin"), "local", file, "--database", server_.Dsn("app")});
    return local.Wait(absl::Minutes(1));
  };
  int kills = 0;
  for (const int hit : {1, 2}) kills += killed(hit) == 128 + SIGKILL ? 1 : 0;
  EXPECT_EQ(OnDatabase({"local", file}).exit_code, 1);
  EXPECT_EQ(Count("n = 1"), 2'996);
  EXPECT_EQ(Json({"status", kVersion})["rows_quarantined"], 4);
  server_.Exec("app", "UPDATE items SET body = '1' WHERE body = 'geheim'");
  EXPECT_EQ(OnDatabase({"quarantine", "retry", kVersion}).exit_code, 0);
  for (const int hit : {1, 2}) kills += killed(hit) == 128 + SIGKILL ? 1 : 0;
  const RunResult last = OnDatabase({"local", file});
  EXPECT_EQ(last.exit_code, 0) << last.output;
  EXPECT_GE(kills, 2) << "nothing was killed at " << GetParam();
  EXPECT_EQ(Count("n <> 1"), 0);
  EXPECT_EQ(server_.Int("app", "SELECT sum(rows_changed)::bigint FROM dunlin.quarantine"), 4);
  EXPECT_EQ(Json({"status", kVersion})["rows_changed"], 3'000);
}
INSTANTIATE_TEST_SUITE_P(Moments, KilledAt,
                         ::testing::Values("agent.quarantine.before_commit",
                                           "agent.quarantine.after_commit",
                                           "agent.retry.before_commit", "agent.retry.after_commit"),
                         [](const auto& moment) {
                           std::string name = moment.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace dunlin::testing
