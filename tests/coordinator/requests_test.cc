#include "coordinator/rpc/requests.h"

#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/limits.h"

namespace dunlin::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

pb::PauseRunRequest Pause() {
  pb::PauseRunRequest request;
  request.set_request_id("r");
  request.set_operator_name("o");
  request.set_run("20261123120000_a");
  return request;
}

std::string Why(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(RequestsTest, ACommandNeedsItsIdItsOperatorAndItsRun) {
  EXPECT_TRUE(CheckRequest(Pause()).ok());
  pb::PauseRunRequest request = Pause();
  request.clear_request_id();
  EXPECT_EQ(Why(CheckRequest(request)), "request_id is missing");
  request = Pause();
  request.clear_operator_name();
  EXPECT_EQ(Why(CheckRequest(request)), "operator_name is missing");
  request = Pause();
  request.clear_run();
  EXPECT_EQ(Why(CheckRequest(request)), "run is missing");
}

// libpq takes parameters as C strings: what follows a NUL would be lost without a word.
TEST(RequestsTest, ATextWithANulIsRefusedNotCut) {
  pb::PauseRunRequest request = Pause();
  request.set_reason(std::string("why\0not", 7));
  EXPECT_THAT(Why(CheckRequest(request)), HasSubstr("reason has a NUL"));
  agent_pb::ReportSplitRequest split;
  split.mutable_middle()->add_column_text(std::string("a\0b", 3));
  EXPECT_THAT(Why(CheckRequest(split)), HasSubstr("column_text has a NUL"));
}

TEST(RequestsTest, NoStringIsLongerThanItsLimitWhereverItStands) {
  const std::string text(static_cast<size_t>(kMaxTextBytes) + 1, 'x');
  pb::StartRunRequest start;
  start.set_request_id("r");
  start.set_operator_name("o");
  start.set_migration("20261123120000_a");
  start.set_definition("d");
  EXPECT_TRUE(CheckRequest(start).ok());
  (*start.mutable_parameters())["name"] = text;
  EXPECT_THAT(Why(CheckRequest(start)), HasSubstr("value is longer than"));
  agent_pb::CompleteShardRequest complete;
  complete.set_lease_id(text);
  EXPECT_THAT(Why(CheckRequest(complete)), HasSubstr("lease_id is longer than"));
  pb::ListAgentsRequest list;
  list.set_page_token(text);
  EXPECT_THAT(Why(CheckRequest(list)), HasSubstr("page_token is longer than"));
}

TEST(RequestsTest, I8_AKeyIsWithinItsLimitsAndNeverShown) {
  agent_pb::HeartbeatRequest heartbeat;
  agent_pb::Key* key = heartbeat.add_leases()->mutable_checkpoint()->mutable_cursor();
  for (int i = 0; i < kMaxKeyColumns; ++i) key->add_column_text("secret");
  EXPECT_TRUE(CheckRequest(heartbeat).ok());
  key->add_column_text("secret");
  EXPECT_EQ(Why(CheckRequest(heartbeat)), "cursor has too many columns");
  key->clear_column_text();
  key->add_column_text(std::string(static_cast<size_t>(kMaxKeyBytes) - 1, 's'));
  key->add_column_text("ecret");
  EXPECT_THAT(Why(CheckRequest(heartbeat)),
              AllOf(HasSubstr("cursor is longer than"), Not(HasSubstr("ecret"))));
}

TEST(RequestsTest, DurationsTimesAndNumbersAreSome) {
  pb::CheckGateRequest gate;
  gate.set_migration("20261123120000_a");
  gate.mutable_soak_duration()->set_seconds(60);
  EXPECT_TRUE(CheckRequest(gate).ok());
  gate.mutable_soak_duration()->set_seconds(0);
  gate.mutable_soak_duration()->set_nanos(-1);
  EXPECT_EQ(Why(CheckRequest(gate)), "soak_duration must not be negative");
  gate.mutable_soak_duration()->set_nanos(0);
  gate.mutable_soak_duration()->set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Why(CheckRequest(gate)), "soak_duration is no duration");
  pb::StartRunRequest start;
  start.mutable_not_before_time()->set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Why(CheckRequest(start)), "not_before_time is no time");
  agent_pb::CompleteTargetTaskRequest task;
  task.mutable_confirm_runs()->add_runs()->set_finish_age_seconds(
      std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(Why(CheckRequest(task)), "finish_age_seconds is no number");
}

TEST(RequestsTest, ListsThatAMethodBounds) {
  agent_pb::RegisterAgentRequest agent;
  agent.set_name("a");
  agent.set_slots(1);
  EXPECT_EQ(Why(CheckRequest(agent)), "an agent serves 1 to 256 targets");
  for (int i = 0; i < kMaxTargetsPerAgent; ++i) agent.add_targets("t");
  EXPECT_TRUE(CheckRequest(agent).ok());
  agent.add_targets("t");
  EXPECT_EQ(Why(CheckRequest(agent)), "an agent serves 1 to 256 targets");
  agent_pb::ReportQuarantineRequest rows;
  for (int i = 0; i <= kMaxQuarantinedPerReport; ++i) rows.add_rows();
  EXPECT_EQ(Why(CheckRequest(rows)), "too many rows");
}

}  // namespace
}  // namespace dunlin::coordinator
