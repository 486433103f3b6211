#include "agent/control/coordinator_client.h"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include "dunlin/agent/v1/agent_service.grpc.pb.h"

#include "agent/control/control_loop.h"
#include "tests/testlib/process.h"

namespace dunlin::agent {
namespace {

namespace pb = ::dunlin::agent::v1;

// A coordinator in this process: notes what it is told, and is silent when it is asked to be.
class ScriptedCoordinator final : public pb::AgentService::Service {
 public:
  ScriptedCoordinator() {
    grpc::ServerBuilder builder;
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~ScriptedCoordinator() override { server_->Shutdown(); }

  std::shared_ptr<grpc::Channel> channel() { return server_->InProcessChannel({}); }

  grpc::Status RegisterAgent(grpc::ServerContext*, const pb::RegisterAgentRequest*,
                             pb::RegisterAgentResponse* response) override {
    response->set_agent_id("a");
    response->mutable_heartbeat_interval_duration()->set_seconds(3600);
    response->mutable_lease_duration()->set_seconds(36000);
    return Answer();
  }
  grpc::Status Heartbeat(grpc::ServerContext*, const pb::HeartbeatRequest*,
                         pb::HeartbeatResponse* response) override {
    if (directs) *response = *directs;
    if (answering) answering();
    if (!silent) ++answered;
    return Answer();
  }
  grpc::Status AcquireLeases(grpc::ServerContext*, const pb::AcquireLeasesRequest*,
                             pb::AcquireLeasesResponse* response) override {
    if (grants) *response = *grants;
    if (answering) answering();
    return Answer();
  }
  grpc::Status ReportSplit(grpc::ServerContext*, const pb::ReportSplitRequest* request,
                           pb::ReportSplitResponse*) override {
    request_ids.push_back(request->request_id());
    return Answer();
  }
  grpc::Status CompleteShard(grpc::ServerContext*, const pb::CompleteShardRequest* request,
                             pb::CompleteShardResponse*) override {
    request_ids.push_back(request->request_id());
    return Answer();
  }

  bool silent = false;
  std::atomic<int> answered = 0;
  std::vector<std::string> request_ids;
  // What it answers, and what happens meanwhile. Set before the loop runs.
  std::optional<pb::AcquireLeasesResponse> grants;
  std::optional<pb::HeartbeatResponse> directs;
  std::function<void()> answering;

 private:
  grpc::Status Answer() const {
    return silent ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "away") : grpc::Status::OK;
  }
  std::unique_ptr<grpc::Server> server_;
};

TEST(CoordinatorClientTest, AsksTheNextCoordinatorAsOftenAsOneIsSilent) {
  ScriptedCoordinator first, second;
  CoordinatorClient client({first.channel(), second.channel()});
  for (int turn = 1; turn <= 3; ++turn) {
    for (const bool first_is_silent : {true, false}) {
      first.silent = first_is_silent;
      second.silent = !first_is_silent;
      EXPECT_TRUE(client.Heartbeat(AgentId("a"), {}, {}, {}).ok()) << "turn " << turn;
    }
    EXPECT_EQ(first.answered, turn);
    EXPECT_EQ(second.answered, turn);
  }
  first.silent = second.silent = true;
  EXPECT_EQ(client.Heartbeat(AgentId("a"), {}, {}, {}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(CoordinatorClientTest, I6_AReportIsTriedAgainUnderTheSameRequestId) {
  ScriptedCoordinator coordinator;
  coordinator.silent = true;  // it may have taken effect all the same
  CoordinatorClient client({coordinator.channel()});
  const SplitReport split = {.parent = ShardId("p"),
                             .epoch = Epoch(1),
                             .middle = KeyText({"5"}),
                             .child = ShardId("c"),
                             .child_upper = KeyText({"9"})};
  for (int tries = 0; tries < 2; ++tries) {
    EXPECT_FALSE(client.ReportSplit(AgentId("a"), LeaseId("l"), {}, split).ok());
    EXPECT_FALSE(
        client.CompleteShard(AgentId("a"), LeaseId("l"), {}, ShardId("p"), Epoch(1), {}, {}).ok());
  }
  ASSERT_EQ(coordinator.request_ids.size(), 4U);
  EXPECT_EQ(coordinator.request_ids[0], coordinator.request_ids[2]);
  EXPECT_EQ(coordinator.request_ids[1], coordinator.request_ids[3]);
  EXPECT_NE(coordinator.request_ids[0], coordinator.request_ids[1]);
}

TEST(ControlLoopTest, WhatCannotWaitIsToldBeforeTheNextHeartbeatIsDue) {
  ScriptedCoordinator coordinator;
  CoordinatorClient client({coordinator.channel()});
  const std::vector<std::unique_ptr<TargetMonitor>> monitors;
  ControlLoop loop(
      {.name = "agent"}, client, monitors, [](const auto&) {}, [](const auto&) {},
      {.take = [](const std::string&) { return std::nullopt; }, .set_duties = [](const auto&) {}},
      SystemClock());
  std::jthread running([&loop](std::stop_token stop) { loop.Run(stop); });
  const auto told = [&](int times) {
    return testing::Eventually(absl::Seconds(30), [&] { return coordinator.answered == times; });
  };
  ASSERT_TRUE(told(1)) << "the first; the second is due in an hour";
  loop.HeartbeatNow();
  EXPECT_TRUE(told(2));
}

// Time that passes while somebody waits for an answer.
class ClockByHand final : public Clock {
 public:
  absl::Duration Monotonic() const override { return absl::Seconds(seconds.load()); }
  void SleepFor(absl::Duration, std::stop_token) override {}
  std::atomic<int> seconds = 1'000;
};

// The store counts a lease from when it answers, which is after it was asked: an agent that counted
// from the answer could outlast it.
TEST(ControlLoopTest, Trap16_AGrantAndARenewalCountFromBeforeTheyWereAskedFor) {
  ClockByHand clock;
  ScriptedCoordinator coordinator;
  pb::Lease* granted = coordinator.grants.emplace().add_leases();
  granted->set_lease_id("l");
  granted->mutable_lease_duration()->set_seconds(100);
  granted->mutable_shard();
  pb::LeaseDirective* renewed = coordinator.directs.emplace().add_directives();
  renewed->set_lease_id("l");
  renewed->set_action(pb::LeaseDirective::ACTION_STOP);
  renewed->mutable_lease_duration()->set_seconds(100);
  coordinator.answering = [&clock] { clock.seconds += 60; };
  CoordinatorClient client({coordinator.channel()});
  Mutex mutex;
  std::shared_ptr<LeaseHandle> handle;
  bool valid_at_99 = false, valid_at_90 = false;
  const std::vector<std::unique_ptr<TargetMonitor>> monitors;
  ControlLoop loop(
      {.name = "agent", .slots = 1}, client, monitors,
      [&](const std::shared_ptr<LeaseHandle>& started) {
        {
          // Granted again, while it is being stopped: it ends only when nothing is held.
          MutexLock lock(mutex);
          if (handle != nullptr) return loop.Finished(started->lease().id);
        }
        clock.seconds += 30;
        valid_at_90 = started->Valid();
        clock.seconds += 9;
        valid_at_99 = started->Valid();
        MutexLock lock(mutex);
        handle = started;
      },
      [](const auto&) {},
      {.take = [](const std::string&) { return std::nullopt; }, .set_duties = [](const auto&) {}},
      clock);
  std::jthread running([&loop](std::stop_token stop) { loop.Run(stop); });
  const auto started = [&] {
    MutexLock lock(mutex);
    return handle;
  };
  ASSERT_TRUE(testing::Eventually(absl::Seconds(30), [&] { return started() != nullptr; }));
  EXPECT_TRUE(valid_at_90);
  EXPECT_FALSE(valid_at_99) << "a hundred seconds less a margin of one";
  loop.HeartbeatNow();
  ASSERT_TRUE(testing::Eventually(absl::Seconds(30), [&] { return started()->Draining(); }));
  EXPECT_TRUE(started()->Valid());
  clock.seconds += 39;
  EXPECT_FALSE(started()->Valid());
  running.request_stop();
  loop.Finished(LeaseId("l"));
}

}  // namespace
}  // namespace dunlin::agent
