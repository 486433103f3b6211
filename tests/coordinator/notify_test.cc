// Notices over real HTTP to a server of the test's own, from a real store.
#include <httplib.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "coordinator/notify/http_post.h"
#include "coordinator/notify/notice.h"
#include "coordinator/notify/notifier.h"
#include "tests/coordinator/store_fixture.h"

namespace dunlin::coordinator {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class NotifyTest : public StoreTest {
 protected:
  NotifyTest() : store_(MakeStore()) {
    server_.Post("/hook", [this](const httplib::Request& request, httplib::Response& response) {
      MutexLock lock(mutex_);
      response.status = failing_ ? 503 : 200;
      if (!failing_) bodies_.push_back(json::parse(request.body));
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    listener_ = std::jthread([this] { server_.listen_after_bind(); });
    EXPECT_TRUE(testing::Eventually(absl::Seconds(10), [this] { return server_.is_running(); }));
  }
  ~NotifyTest() override { server_.stop(); }

  Notifier MakeNotifier(absl::Duration stall_after = absl::Minutes(10)) {
    return Notifier({.url = Secret(absl::StrCat("http://127.0.0.1:", port_, "/hook?token=hush")),
                     .stall_after = stall_after},
                    *store_);
  }
  // What has come since the last call, as "EVENT old>new".
  std::vector<std::string> Came() {
    MutexLock lock(mutex_);
    std::vector<std::string> came;
    for (const json& body : bodies_)
      came.push_back(absl::StrCat(body["event"].get<std::string>(), " ",
                                  body["old_value"].get<std::string>(), ">",
                                  body["new_value"].get<std::string>()));
    last_ = bodies_.empty() ? json() : bodies_.back();
    bodies_.clear();
    return came;
  }
  void SetFailing(bool failing) {
    MutexLock lock(mutex_);
    failing_ = failing;
  }

  std::unique_ptr<Store> store_;
  httplib::Server server_;
  int port_ = 0;
  Mutex mutex_;
  bool failing_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<json> bodies_ ABSL_GUARDED_BY(mutex_);
  json last_;
  std::jthread listener_;
};

TEST_F(NotifyTest, AChangeOfStateIsToldOnceByOneOfSeveralCoordinators) {
  Start(*store_, "labels: {team: payments}\n");
  Notifier one = MakeNotifier(), other = MakeNotifier();
  ASSERT_TRUE(one.Tell({}).ok());
  EXPECT_THAT(Came(), IsEmpty()) << "that it waits is no news";
  ASSERT_TRUE(Pause(*store_).ok());
  {
    std::jthread at_once([&] { EXPECT_TRUE(other.Tell({}).ok()); });
    EXPECT_TRUE(one.Tell({}).ok());
  }
  EXPECT_THAT(Came(),
              ElementsAre("run_state_changed PENDING>PAUSING", "run_state_changed PAUSING>PAUSED"));
  EXPECT_EQ(last_["labels"].dump(), R"({"team":"payments"})");
  EXPECT_EQ(last_["migration"], kMigration);
  EXPECT_EQ(last_["state"], "PAUSED");
  ASSERT_TRUE(one.Tell({}).ok());
  ASSERT_TRUE(other.Tell({}).ok());
  EXPECT_THAT(Came(), IsEmpty()) << "once";
}

TEST_F(NotifyTest, WhatCouldNotBeToldIsToldLaterAndASecretIsInNoError) {
  Start(*store_);
  Notifier notifier = MakeNotifier();
  ASSERT_TRUE(notifier.Tell({}).ok());
  ASSERT_TRUE(Pause(*store_).ok());
  SetFailing(true);
  const absl::Status failed = notifier.Tell({});
  EXPECT_TRUE(absl::IsUnavailable(failed)) << failed;
  EXPECT_EQ(failed.message(), "the answer was HTTP 503");
  SetFailing(false);
  ASSERT_TRUE(notifier.Tell({}).ok());
  EXPECT_THAT(Came(), IsEmpty()) << "not before its back-off is over";
  EXPECT_EQ(Int("SELECT tries FROM dunlin_store.notified"), 1);
  Exec("UPDATE dunlin_store.notified SET next_at = '-infinity'");
  ASSERT_TRUE(notifier.Tell({}).ok());
  EXPECT_EQ(Came().size(), 2u);
  EXPECT_EQ(Int("SELECT tries FROM dunlin_store.notified"), 0);
}

TEST_F(NotifyTest, WhatADeadCoordinatorHadClaimedIsToldByAnother) {
  Start(*store_);
  ASSERT_TRUE(MakeNotifier().Tell({}).ok());
  ASSERT_TRUE(Pause(*store_).ok());
  const auto claimed = store_->ClaimNotices(absl::Minutes(10));
  ASSERT_TRUE(claimed.ok());
  ASSERT_EQ(claimed->size(), 1u);
  ASSERT_TRUE(MakeNotifier().Tell({}).ok());
  EXPECT_THAT(Came(), IsEmpty()) << "it is another's for two minutes";
  Exec("UPDATE dunlin_store.notified SET claimed_until = clock_timestamp()");
  ASSERT_TRUE(MakeNotifier().Tell({}).ok());
  EXPECT_EQ(Came().size(), 2u);
}

TEST_F(NotifyTest, ARunThatDoesNotGetOnIsToldOnceUntilItMoves) {
  Start(*store_);  // no agent
  Notifier notifier = MakeNotifier(absl::Minutes(10));
  const auto pass = [&] {
    Exec("UPDATE dunlin_store.notified SET mark_at = mark_at - interval '11 minutes'");
  };
  ASSERT_TRUE(notifier.Tell({}).ok());
  ASSERT_TRUE(notifier.Tell({}).ok());
  EXPECT_THAT(Came(), IsEmpty()) << "ten minutes have not passed";
  pass();
  ASSERT_TRUE(notifier.Tell({}).ok());
  EXPECT_THAT(Came(), ElementsAre("run_stalled >"));
  EXPECT_THAT(last_["reason"].get<std::string>(), HasSubstr("no agent for target"));
  pass();
  ASSERT_TRUE(notifier.Tell({}).ok());
  EXPECT_THAT(Came(), IsEmpty()) << "once";
}

TEST_F(NotifyTest, RowsThatAreSetAsideAreTold) {
  const pb::Run run = Start(*store_);
  Notifier notifier = MakeNotifier();
  ASSERT_TRUE(notifier.Tell({}).ok());
  Exec(
      absl::StrCat("INSERT INTO dunlin_store.event (run, revision, kind, actor, reason, new_value, "
                   "audit) SELECT id, "
                   "revision + 1, 'rows_quarantined', 'dunlin', 'a check constraint is violated', "
                   "'1 row', true FROM "
                   "dunlin_store.run; UPDATE dunlin_store.run SET revision = revision + 1"));
  ASSERT_TRUE(notifier.Tell({}).ok());
  EXPECT_THAT(Came(), ElementsAre("rows_quarantined >1 row"));
}

class NoticeTemplateTest : public ::testing::Test {
 protected:
  NoticeTemplateTest() {
    run_.set_migration("20261101000000_a");
    run_.set_target("orders");
    run_.set_rows_done(11'600);
    (*run_.mutable_labels())["team"] = "payments";
    event_.set_kind("run_state_changed");
    event_.set_old_value("RUNNING");
    event_.set_new_value("PAUSING");
    event_.set_actor("ada");
    event_.set_reason("p95 > 200 ms");
  }
  std::string Body(const std::string& text) const {
    const auto shape = ParseNoticeTemplate("t.json", text);
    EXPECT_TRUE(shape.ok()) << shape.status();
    return NoticeBody(run_, event_, *shape);
  }
  static std::string Refusal(const std::string& text) {
    const absl::Status status = ParseNoticeTemplate("t.json", text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  }

  pb::Run run_;
  pb::RunEvent event_;
};

TEST_F(NoticeTemplateTest, SlackGetsASentenceFromTheExample) {
  std::ifstream file(DUNLIN_EXAMPLES_DIR "/notify/slack.json");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_EQ(json::parse(Body(text)),
            json({{"text",
                   "20261101000000_a on orders: RUNNING → PAUSING: p95 &gt; 200 ms, by ada "
                   "(team=payments)"}}));
}

TEST_F(NoticeTemplateTest, EveryFieldOfANoticeIsAPlaceholder) {
  const json fields = json::parse(NoticeBody(run_, event_, std::nullopt));
  for (const auto& [name, value] : fields.items()) {
    if (name == "labels") continue;
    const std::string body = Body(absl::StrCat(R"({"x": "{{ )", name, R"( }}"})"));
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    EXPECT_EQ(json::parse(body)["x"], text) << name;
  }
  EXPECT_EQ(Body(R"({"{{labels.team}}": "{{labels.nobody}}", "rows": {{rows_done}}})"),
            R"({"payments": "", "rows": 11600})");
}

TEST_F(NoticeTemplateTest, NoValueMakesAnotherDocumentOfIt) {
  event_.set_reason("\", \"x\": \"\\\n\x01\xff {{state}}");
  const json body = json::parse(Body(R"({"a": "{{reason}}", "b": ["{{reason|slack}}"]})"));
  EXPECT_EQ(body.size(), 2u);
  EXPECT_EQ(body["a"], "\", \"x\": \"\\\n\x01\uFFFD {{state}}") << "put in once";
}

TEST_F(NoticeTemplateTest, AMistakeIsShownWithItsPlace) {
  EXPECT_THAT(Refusal("{\n  \"a\": \"→ {{migratoin}}\"}"),
              AllOf(StartsWith("t.json:2:11: there is nothing to put for {{migratoin}}; known are: "
                               "actor, error, event, message, migration"),
                    EndsWith("labels.NAME")));
  EXPECT_THAT(Refusal(R"({"a": "{{labels}}"})"), StartsWith("t.json:1:8: "));
  EXPECT_THAT(Refusal(R"({"a": "{{labels.}}"})"), StartsWith("t.json:1:8: "));
  EXPECT_THAT(Refusal("{\"a\": \"{{state\n}}\"}"), StartsWith("t.json:1:8: {{ has no }}"));
  EXPECT_THAT(Refusal("{\"a\": 1,\n \"b\": {{state}}}"),
              AllOf(StartsWith("t.json:2:7: this makes no JSON: invalid literal"),
                    HasSubstr("inside quotes")));
  EXPECT_THAT(Refusal("{\"a\": 1"), StartsWith("t.json:1:8: this makes no JSON: unexpected end"));
  EXPECT_THAT(Refusal(R"({"a": "\{{state}}"})"), HasSubstr("no JSON"));
  // JSON with 0, and not with 7: "07", "77".
  EXPECT_THAT(Refusal(R"([0{{rows_done}}])"), HasSubstr("no JSON"));
  EXPECT_THAT(Refusal(R"([{{rows_done}}7])"), HasSubstr("no JSON"));
  EXPECT_THAT(Refusal("\"\xff\""), HasSubstr("no JSON"));
}

TEST(NoticeTest, WhatWaitsAsItShouldIsNoStall) {
  pb::Run run;
  run.set_state(pb::Run::STATE_RUNNING);
  EXPECT_TRUE(StallOf(run, true).has_value());
  EXPECT_FALSE(StallOf(run, false).has_value());
  run.set_throttled_reason("outside its windows: opens at 20:00");
  EXPECT_FALSE(StallOf(run, true).has_value());
  run.set_state(pb::Run::STATE_PENDING);
  run.set_reason("waits for 20261101000000_b, which is RUNNING");
  EXPECT_FALSE(StallOf(run, true).has_value());
  run.set_state(pb::Run::STATE_PAUSED);
  EXPECT_FALSE(StallOf(run, true).has_value());
}

TEST(HttpPostTest, I8_ErrorsNeverShowTheUrl) {
  const Secret nowhere("http://127.0.0.1:1/hush");
  const absl::Status refused = PostJson(nowhere, "{}");
  EXPECT_TRUE(absl::IsUnavailable(refused));
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("hush")));
  const absl::Status bad = CheckNotifyUrl(Secret("ftp://u:hush@host"));
  EXPECT_TRUE(absl::IsInvalidArgument(bad));
  EXPECT_THAT(std::string(bad.message()), Not(HasSubstr("hush")));
  EXPECT_TRUE(CheckNotifyUrl(Secret("https://hooks.example/T0/B0")).ok());
}

}  // namespace
}  // namespace dunlin::coordinator
