#include "agent/control/coordinator_client.h"

#include <atomic>
#include <memory>
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
                         pb::HeartbeatResponse*) override {
    if (!silent) ++answered;
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

}  // namespace
}  // namespace dunlin::agent
