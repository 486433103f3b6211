// Between the protocol's messages and agent/lease.h. Pure; unknown enum values become what is safe.
#pragma once

#include "absl/status/statusor.h"

#include "dunlin/agent/v1/agent_service.pb.h"

#include "agent/control/coordinator_client.h"
#include "agent/lease.h"

namespace dunlin::agent {

namespace pb = ::dunlin::agent::v1;

absl::Duration FromProto(const google::protobuf::Duration& duration);
WorkLimits FromProto(const pb::WorkLimits& limits);
// INVALID_ARGUMENT for a lease without work, or of a kind that this agent does not know.
absl::StatusOr<Lease> FromProto(const pb::Lease& lease);
Directive FromProto(const pb::LeaseDirective& directive);
// INVALID_ARGUMENT for a question that this agent does not know.
absl::StatusOr<TargetTask> FromProto(const pb::TargetTask& task);
SignalDuty FromProto(const pb::SignalDuty& duty);

void ToProto(const KeyText& key, pb::Key* out);
void ToProto(const Checkpoint& checkpoint, pb::Checkpoint* out);
void ToProto(const Problem& problem, pb::Problem* out);
void ToProto(const QuarantinedRow& row, pb::QuarantinedRow* out);
void ToProto(const SignalReport& report, pb::TargetSignals* out);
void ToProto(const TargetIdentity& identity, pb::TargetIdentity* out);
// Sets the `result` of a CompleteTask request.
void ToProto(const TaskResult& result, pb::CompleteTaskRequest* out);
void ToProto(const TargetTaskResult& result, pb::CompleteTargetTaskRequest* out);

}  // namespace dunlin::agent
