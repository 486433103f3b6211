// What a request must satisfy before the store sees it. Pure: no I/O, no clock.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "dunlin/agent/v1/agent_service.pb.h"
#include "dunlin/v1/fleet_service.pb.h"
#include "dunlin/v1/migration_service.pb.h"
#include "dunlin/v1/run_service.pb.h"

namespace dunlin::coordinator {

namespace pb = ::dunlin::v1;
namespace agent_pb = ::dunlin::agent::v1;

// The longest string of any request but a definition: no field holds more than a key may have.
inline constexpr int64_t kMaxTextBytes = 8192;
// The longest list of any request: a reconcile report of many full steps. What one message may have
// is bounded by its size as well (kMaxMessageBytes).
inline constexpr int kMaxListItems = 1 << 20;

// INVALID_ARGUMENT naming the field when a string of a request is longer than its limit (limits.h)
// or, if required, empty.
absl::Status CheckText(absl::string_view field, absl::string_view value, int64_t bytes_max,
                       bool required = false);

// What holds for every message, whatever it is: strings, lists and keys within their limits; no NUL
// in a text, since libpq would silently cut it there; durations that are valid and not negative;
// times and numbers that are some. INVALID_ARGUMENT names the field, never its value.
absl::Status CheckBounds(const google::protobuf::Message& request);

// CheckBounds(), and the rules of the request's own method. A request without rules of its own
// takes the first.
absl::Status CheckRequest(const google::protobuf::Message& request);
absl::Status CheckRequest(const pb::StartRunRequest& request);
absl::Status CheckRequest(const pb::PauseRunRequest& request);
absl::Status CheckRequest(const pb::ResumeRunRequest& request);
absl::Status CheckRequest(const pb::CancelRunRequest& request);
absl::Status CheckRequest(const pb::ApproveRunRequest& request);
absl::Status CheckRequest(const pb::RedoRunRequest& request);
absl::Status CheckRequest(const pb::UndoRunRequest& request);
absl::Status CheckRequest(const pb::ForgetRunRequest& request);
absl::Status CheckRequest(const pb::ThrottleRunRequest& request);
absl::Status CheckRequest(const pb::PauseAllRunsRequest& request);
absl::Status CheckRequest(const pb::ResumeAllRunsRequest& request);
absl::Status CheckRequest(const pb::GetRunRequest& request);
absl::Status CheckRequest(const pb::ListShardsRequest& request);
absl::Status CheckRequest(const pb::ListRunEventsRequest& request);
absl::Status CheckRequest(const pb::ListQuarantinedRowsRequest& request);
absl::Status CheckRequest(const pb::RetryQuarantinedRowsRequest& request);
absl::Status CheckRequest(const pb::AcceptQuarantinedRowsRequest& request);
absl::Status CheckRequest(const pb::WatchRunRequest& request);
absl::Status CheckRequest(const pb::ResolveTargetsRequest& request);
absl::Status CheckRequest(const pb::CheckGateRequest& request);
absl::Status CheckRequest(const pb::BaselineMigrationRequest& request);
absl::Status CheckRequest(const pb::LookForSchemaLocksRequest& request);
absl::Status CheckRequest(const pb::AdoptTargetRequest& request);
absl::Status CheckRequest(const pb::GetAdoptionRequest& request);
absl::Status CheckRequest(const agent_pb::RegisterAgentRequest& request);
absl::Status CheckRequest(const agent_pb::AcquireLeasesRequest& request);
absl::Status CheckRequest(const agent_pb::HeartbeatRequest& request);
absl::Status CheckRequest(const agent_pb::ReportQuarantineRequest& request);
absl::Status CheckRequest(const agent_pb::CompleteTaskRequest& request);
absl::Status CheckRequest(const agent_pb::ReleaseLeasesRequest& request);
absl::Status CheckRequest(const agent_pb::CompleteTargetTaskRequest& request);

}  // namespace dunlin::coordinator
