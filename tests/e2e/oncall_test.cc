// What the on-call engineer types, by the binaries that people type.
#include <httplib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/mutex.h"
#include "tests/e2e/command_fixture.h"
#include "tests/testlib/mini_cluster.h"

namespace dunlin::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr const char* kSlow = "20261101000000_slow";
constexpr const char* kBad = "20261102000000_bad";
constexpr const char* kLater = "20261103000000_later";

class OnCall : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    server_.Exec(
        "app",
        "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO "
        "items SELECT g FROM generate_series(1, 100000) g; CREATE TABLE calm (ok boolean); "
        "INSERT INTO calm VALUES (false); ANALYZE");
    cluster_ =
        std::make_unique<MiniCluster>(server_, MiniClusterOptions{.agents = 1, .paced = true});
    cluster_->WaitForAgents();
  }
  void TearDown() override {
    cluster_.reset();
    CommandTest::TearDown();
  }
  std::string File(const std::string& name, const std::string& batch, const std::string& more) {
    return Write(absl::StrCat(name, ".yaml"),
                 absl::StrCat("description: Count\ntarget: app\ntable: items\nbatch: ", batch,
                              "\nlimits: {rows_per_second: 1000}\n", more));
  }
  static void Exec(pg::Connection& session, const std::string& sql) {
    const auto done = session.Query(sql);
    EXPECT_TRUE(done.ok()) << sql << ": " << done.status();
  }
  std::unique_ptr<pg::Connection> Session(const std::string& database, const std::string& name) {
    auto session = server_.Connect(database);
    Exec(*session, absl::StrCat("SET application_name = '", name, "'"));
    return session;
  }
  std::string Said(const std::vector<std::string>& arguments) const {
    return cluster_->Dunlin(arguments).output;
  }

  std::unique_ptr<MiniCluster> cluster_;
};

constexpr const char* kCount = "UPDATE items SET n = n + 1 WHERE :batch";

TEST_F(OnCall, StatusAloneTellsWhoNeedsAPersonWhoIsHarmedWhoWaitsAndHowToStopIt) {
  const RunResult started =
      cluster_->Dunlin({"start", File(kSlow, kCount, "on_pressure: {check: SELECT ok FROM calm}\n"),
                        File(kBad, "UPDATE items SET nope = 1 WHERE :batch", "depends_on: []\n"),
                        File(kLater, kCount, ""), "--reason", "deploy 42"});
  ASSERT_EQ(started.exit_code, 0) << started.output;
  std::string text;
  EXPECT_TRUE(Eventually(kPatience, [&] {
    text = Said({"status"});
    return absl::StrContains(text, "OVER THE LIMIT") && absl::StrContains(text, "NEEDS A PERSON");
  })) << text;
  EXPECT_THAT(text, HasSubstr("1 run needs a person, 1 in work, 1 waits; "));
  EXPECT_THAT(text, ::testing::ContainsRegex("; [0-9] signals? (is|are) over the limit"));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("next: dunlin resume ", kBad, "\n")));
  EXPECT_THAT(text, HasSubstr("app: the file's check answers "));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("waits for ", kSlow)));
  EXPECT_THAT(text, HasSubstr("dunlin pause all --reason WHY\n"));
  EXPECT_THAT(text, HasSubstr("SELECT dunlin.stop('WHY')\n"));
  EXPECT_THAT(text, Not(HasSubstr("\033["))) << "no colour without a terminal";
  const auto json = nlohmann::json::parse(Said({"status", "-o", "json"}));
  EXPECT_EQ(json["needs_person"].size(), 1u);
  EXPECT_THAT(json["over_limit"].dump(), HasSubstr("\"signal\":\"check\""));
  // A person has dealt with it: nobody needs one any more.
  ASSERT_EQ(cluster_->Dunlin({"cancel", kBad, "--reason", "wrong"}).exit_code, 0);
  EXPECT_THAT(Said({"status"}), Not(HasSubstr("NEEDS A PERSON")));
  ASSERT_EQ(cluster_->Dunlin({"pause", "all", "--reason", "checkout is slow"}).exit_code, 0);
  EXPECT_THAT(Said({"status"}), HasSubstr("are paused as asked"));
}

TEST_F(OnCall, ShowAndEventsTellWhoDidWhatWhenWhyFromWhereAndWhatWasBefore) {
  ASSERT_EQ(
      cluster_
          ->Dunlin({"start", File(kSlow, kCount, ""), "--reason", "deploy 42", "--operator", "ada"})
          .exit_code,
      0);
  ASSERT_TRUE(Eventually(kPatience, [&] { return cluster_->State(kSlow) == "RUNNING"; }));
  ASSERT_EQ(cluster_
                ->Dunlin({"throttle", kSlow, "--concurrency", "1", "--reason", "sale", "--operator",
                          "grace"})
                .exit_code,
            0);
  ASSERT_EQ(
      cluster_->Dunlin({"pause", kSlow, "--reason", "checkout is slow", "--operator", "grace"})
          .exit_code,
      0);
  const std::string story = Said({"show", kSlow});
  EXPECT_THAT(story, HasSubstr("  state       PAUSED since "));
  EXPECT_THAT(story, HasSubstr("  because     paused by grace: checkout is slow\n"));
  EXPECT_THAT(story, HasSubstr(absl::StrCat("  next        dunlin resume ", kSlow, "\n")));
  EXPECT_THAT(story, ::testing::ContainsRegex(
                         "started     by ada from 127.0.0.1:[0-9]+, .*Z: deploy 42\n"));
  EXPECT_THAT(story, ::testing::ContainsRegex("  digest      [0-9a-f]+\n"));
  EXPECT_THAT(story, HasSubstr("grace  RUNNING → PAUSING: checkout is slow\n"));
  EXPECT_THAT(story, HasSubstr("grace  limits changed: concurrency 4 → concurrency 1: sale\n"));
  const std::string events = Said({"events", kSlow});
  EXPECT_THAT(events, ::testing::ContainsRegex(
                          "Z  grace from 127.0.0.1:[0-9]+ +limits_changed +concurrency 4 → "
                          "concurrency 1 +sale\n"));
  EXPECT_THAT(events, Not(HasSubstr("lease_granted")));
  EXPECT_THAT(Said({"events", kSlow, "--all"}), HasSubstr("lease_granted"));
  std::vector<nlohmann::json> lines;
  std::istringstream stream(Said({"events", kSlow, "-o", "json"}));
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  const auto limits = std::find_if(lines.begin(), lines.end(), [](const nlohmann::json& line) {
    return line["kind"] == "limits_changed";
  });
  ASSERT_NE(limits, lines.end());
  EXPECT_EQ((*limits)["actor"], "grace");
  EXPECT_EQ((*limits)["reason"], "sale");
  EXPECT_EQ((*limits)["old_value"], "concurrency 4");
  EXPECT_EQ((*limits)["new_value"], "concurrency 1");
  EXPECT_THAT((*limits)["peer"].get<std::string>(), HasSubstr("127.0.0.1:"));
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const nlohmann::json& line) { return line["kind"] == "run_created"; }),
            1);
  const auto shown = nlohmann::json::parse(Said({"show", kSlow, "-o", "json"}));
  EXPECT_EQ(shown["next_command"], absl::StrCat("dunlin resume ", kSlow));
  EXPECT_EQ(shown["events"], nlohmann::json(lines)) << "who did what, as `events` tells it";
}

// crc32('app') times Rails' salt.
constexpr const char* kRailsLock = "6939591962871035475";

TEST_F(OnCall, NothingIsStartedInsideASchemaMigration) {
  const std::string file = File(kSlow, kCount, "");
  const std::string once = Write(absl::StrCat(kLater, ".yaml"),
                                 "description: d\ntarget: app\nonce: SELECT 1\ndepends_on: []\n");
  auto rails = Session("app", "bin/rails");
  Exec(*rails, absl::StrCat("SELECT pg_advisory_lock(", kRailsLock, ")"));
  const RunResult refused = cluster_->Dunlin({"start", file, once, "--schema-wait", "1s"});
  EXPECT_EQ(refused.exit_code, 5) << refused.output;
  EXPECT_THAT(refused.output,
              ::testing::ContainsRegex(
                  "20261101000000_slow is not started: a schema migration is at work on "
                  "app: the migration lock of Rails is held by pid [0-9]+ "
                  "\\(application bin/rails\\)"));
  EXPECT_THAT(refused.output, HasSubstr("20261103000000_later is not started"));
  EXPECT_THAT(Said({"list"}), Not(HasSubstr("20261101000000_slow"))) << "nothing was recorded";
  // It ends while the next one waits.
  std::jthread release([&] {
    SystemClock().SleepFor(absl::Seconds(2), {});
    rails.reset();
  });
  const RunResult waited = cluster_->Dunlin({"start", file, "--schema-wait", "40s"});
  EXPECT_EQ(waited.exit_code, 0) << waited.output;
  EXPECT_THAT(waited.output, HasSubstr("Waiting for up to 40 s (--schema-wait)"));
  EXPECT_THAT(waited.output, HasSubstr("20261101000000_slow started on app"));
  // What is there already is told without a look.
  auto again = Session("app", "bin/rails");
  Exec(*again, absl::StrCat("SELECT pg_advisory_lock(", kRailsLock, ")"));
  EXPECT_EQ(cluster_->Dunlin({"start", file}).exit_code, 0);
  EXPECT_EQ(cluster_->Dunlin({"start", once, "--schema-wait", "none"}).exit_code, 0);
}

TEST_F(OnCall, Trap24_ARunGoesOnWhileASchemaMigrationHoldsItsLockAndWaitsForIt) {
  const auto quick = [&](const std::string& name) {
    return Write(absl::StrCat(name, ".yaml"),
                 absl::StrCat("description: Count\ntarget: app\ntable: items\nbatch: ", kCount,
                              "\nlimits: {rows_per_second: 40000}\n"));
  };
  ASSERT_EQ(cluster_->Dunlin({"start", quick(kSlow), quick(kLater)}).exit_code, 0);
  // As a migration that holds Rails' lock from its beginning to its end, and asks the gate inside;
  // the second run is not even planned then.
  auto rails = Session("app", "bin/rails");
  Exec(*rails, absl::StrCat("SELECT pg_advisory_lock(", kRailsLock, ")"));
  ASSERT_NE(cluster_->State(kLater), "FINISHED");
  const RunResult gate = cluster_->Dunlin({"gate", kSlow, kLater, "--wait", "--timeout", "2m"});
  EXPECT_EQ(gate.exit_code, 0) << gate.output;
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE n <> 2"), 0);
}

TEST_F(OnCall, RedoStartsNothingInsideASchemaMigrationAndSeesTheFormersTables) {
  const std::string file =
      Write(absl::StrCat(kSlow, ".yaml"),
            absl::StrCat("description: Count\ntarget: app\ntable: items\nbatch: ", kCount, "\n"));
  ASSERT_EQ(cluster_->Dunlin({"start", file, "--wait"}).exit_code, 0);
  auto session = Session("app", "psql");
  Exec(*session, "BEGIN");
  Exec(*session, "ALTER TABLE items ADD COLUMN more int");
  const RunResult refused =
      cluster_->Dunlin({"redo", kSlow, "--apply-twice", "--schema-wait", "1s"});
  EXPECT_EQ(refused.exit_code, 5) << refused.output;
  EXPECT_THAT(refused.output,
              HasSubstr("20261101000000_slow is not started: a schema migration is at work on app: "
                        "an AccessExclusiveLock on items is held by pid "));
  EXPECT_EQ(server_.Int("store", "SELECT count(*) FROM dunlin_store.run"), 1);
  Exec(*session, "COMMIT");
  Exec(*session, absl::StrCat("SELECT pg_advisory_lock(", kRailsLock, ")"));
  EXPECT_EQ(cluster_->Dunlin({"redo", kSlow, "--apply-twice", "--schema-wait", "none"}).exit_code,
            0);
  EXPECT_EQ(server_.Int("store", "SELECT count(*) FROM dunlin_store.run"), 2);
}

TEST_F(OnCall, Trap24_AResumedRunGoesOnWhileASchemaMigrationHoldsItsLock) {
  ASSERT_EQ(cluster_->Dunlin({"start", File(kSlow, kCount, "")}).exit_code, 0);
  ASSERT_TRUE(Eventually(
      kPatience, [&] { return server_.Int("app", "SELECT count(*) FROM items WHERE n = 1") > 0; }));
  ASSERT_EQ(cluster_->Dunlin({"pause", kSlow}).exit_code, 0);
  auto rails = Session("app", "bin/rails");
  Exec(*rails, absl::StrCat("SELECT pg_advisory_lock(", kRailsLock, ")"));
  ASSERT_EQ(cluster_->Dunlin({"resume", kSlow}).exit_code, 0);
  ASSERT_EQ(cluster_->Dunlin({"throttle", kSlow, "--rows-per-second", "none"}).exit_code, 0);
  const RunResult gate = cluster_->Dunlin({"gate", kSlow, "--wait", "--timeout", "2m"});
  EXPECT_EQ(gate.exit_code, 0) << gate.output;
  EXPECT_EQ(server_.Int("app", "SELECT count(*) FROM items WHERE n <> 1"), 0);
}

TEST_F(OnCall, WithoutAnAgentARunWaitsAndSaysWhatToStart) {
  const std::string path =
      Write(absl::StrCat(kSlow, ".yaml"), "description: d\ntarget: nobody\nonce: SELECT 1\n");
  const RunResult started = cluster_->Dunlin({"start", path});
  EXPECT_EQ(started.exit_code, 0) << started.output;
  EXPECT_THAT(started.output,
              HasSubstr("no agent for target nobody is connected; start one: dunlin-agent"));
  EXPECT_EQ(cluster_->State(kSlow), "PENDING");
}

TEST_F(OnCall, LocalLooksForASchemaMigrationItself) {
  server_.CreateDatabase("own");
  server_.Exec("own", "CREATE TABLE items (id bigint PRIMARY KEY, n int)");
  const std::string file =
      Write(absl::StrCat(kSlow, ".yaml"),
            "description: d\ntable: items\nbatch: UPDATE items SET n = 1 WHERE "
            ":batch\n");
  auto session = Session("own", "psql");
  Exec(*session, "BEGIN");
  Exec(*session, "ALTER TABLE items ADD COLUMN more int");
  const std::vector<std::string> local = {"local",         file, "--database", server_.Dsn("own"),
                                          "--schema-wait", "1s"};
  const RunResult refused = Dunlin(local);
  EXPECT_EQ(refused.exit_code, 5) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("an AccessExclusiveLock on items is held by pid "));
  Exec(*session, "COMMIT");
  EXPECT_EQ(Dunlin(local).exit_code, 0);
}

// Two coordinators tell the same URL, which they read from a file.
TEST_F(OnCall, WhatHappensToARunIsPostedToTheUrlOfNotify) {
  Mutex mutex;
  std::vector<std::string> texts;
  httplib::Server hook;
  hook.Post("/hook", [&](const httplib::Request& request, httplib::Response&) {
    MutexLock lock(mutex);
    texts.push_back(nlohmann::json::parse(request.body)["text"]);
  });
  const int port = hook.bind_to_any_port("127.0.0.1");
  std::jthread listener([&] { hook.listen_after_bind(); });
  ASSERT_TRUE(Eventually(kPatience, [&] { return hook.is_running(); }));
  const std::string url = Write("url", absl::StrCat("http://127.0.0.1:", port, "/hook\n"));
  cluster_.reset();
  server_.DropDatabase("store", "WITH (FORCE)");
  cluster_ = std::make_unique<MiniCluster>(
      server_, MiniClusterOptions{
                   .agents = 1,
                   .coordinator_flags = {"--notify", absl::StrCat("@", url), "--notify-template",
                                         DUNLIN_EXAMPLES_DIR "/notify/slack.json"}});
  cluster_->WaitForAgents();
  const auto told = [&](const std::string& name) {
    MutexLock lock(mutex);
    return std::count(
        texts.begin(), texts.end(),
        absl::StrCat(name,
                     " on app: FINALIZING → FINISHED: the finish row is written (team=payments)"));
  };
  for (const char* name : {kSlow, kLater}) {
    const std::string file =
        Write(absl::StrCat(name, ".yaml"),
              "description: d\ntarget: app\nonce: SELECT 1\nlabels: {team: payments}\n");
    ASSERT_EQ(cluster_->Dunlin({"start", file, "--wait"}).exit_code, 0);
    EXPECT_TRUE(Eventually(kPatience, [&] { return told(name) > 0; }));
  }
  EXPECT_EQ(told(kSlow), 1);
  hook.stop();
}

TEST_F(OnCall, ACoordinatorDoesNotBeginWithATemplateThatMakesNoJson) {
  const std::string bad = Write("bad.json", "{\n  \"text\": {{message}}\n}\n");
  std::vector<std::string> coordinator = {
      Binary("dunlin-coordinator"), "--store", server_.Dsn("store"),
      "--notify-template",          bad,       "--notify",
      "http://127.0.0.1:1/"};
  const RunResult refused = RunToEnd(coordinator);
  EXPECT_EQ(refused.exit_code, 2) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr(absl::StrCat(bad, ":2:11: this makes no JSON")));
  coordinator.resize(5);
  EXPECT_EQ(RunToEnd(coordinator).exit_code, 2) << "nobody would get it";
}

}  // namespace
}  // namespace dunlin::testing
