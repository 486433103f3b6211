#include "cli/client.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include <grpcpp/client_context.h>

#include "common/clock.h"
#include "common/rpc/unary_call.h"

namespace dunlin::cli {
namespace {

constexpr absl::Duration kTryTimeout = absl::Seconds(5);
constexpr absl::Duration kBetweenTries = absl::Milliseconds(200);
// A proxy may hold a stream open, and answer pings, whose other side is gone (trap 18).
constexpr absl::Duration kSilence = absl::Seconds(15);
static_assert(kSilence > kWatchProgressInterval);

bool Unreachable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

// Cancels a stream on which nothing came for `limit`.
class SilenceGuard {
 public:
  SilenceGuard(grpc::ClientContext& context, absl::Duration limit)
      : heard_ns_(NowNs()), thread_([this, &context, limit](std::stop_token stop) {
          absl::Duration left = limit;
          while (left > absl::ZeroDuration() && !stop.stop_requested()) {
            SystemClock().SleepFor(left, stop);
            left = limit - absl::Nanoseconds(NowNs() - heard_ns_);
          }
          silent_ = !stop.stop_requested();
          if (silent_) context.TryCancel();
        }) {}
  void Heard() { heard_ns_ = NowNs(); }
  bool silent() const { return silent_; }

 private:
  static int64_t NowNs() { return absl::ToInt64Nanoseconds(SystemClock().Monotonic()); }

  std::atomic<int64_t> heard_ns_;
  std::atomic<bool> silent_ = false;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace

Client::Client(std::vector<std::shared_ptr<grpc::Channel>> channels, std::string where)
    : where_(std::move(where)) {
  for (const auto& channel : channels) {
    runs_.push_back(pb::RunService::NewStub(channel));
    migrations_.push_back(pb::MigrationService::NewStub(channel));
    fleet_.push_back(pb::FleetService::NewStub(channel));
  }
}

template <typename Service, typename Method, typename Request, typename Response>
absl::Status Client::Call(std::vector<std::unique_ptr<Service>>& stubs, Method method,
                          const Request& request, Response& response) {
  Clock& clock = SystemClock();
  const absl::Duration until = clock.Monotonic() + kReadCommandTimeout;
  absl::Status last;
  while (true) {
    const absl::Duration left = std::min(kTryTimeout, until - clock.Monotonic());
    last = CallOnce(*stubs[current_ % stubs.size()], method, left, request, response);
    if (!Unreachable(last)) return last;
    ++current_;
    if (until - clock.Monotonic() <= kBetweenTries) break;
    clock.SleepFor(kBetweenTries, {});
  }
  return absl::UnavailableError(absl::StrCat("no answer from ", where_, " within ",
                                             absl::FormatDuration(kReadCommandTimeout), " (",
                                             last.message(),
                                             "). Is it running, and is the address right? If this "
                                             "command was to change something, run it again: "
                                             "what was done already is not done twice"));
}

absl::StatusOr<std::vector<std::string>> Client::ResolveTargets(const std::string& migration,
                                                                const std::string& definition) {
  pb::ResolveTargetsRequest request;
  request.set_migration(migration);
  request.set_definition(definition);
  pb::ResolveTargetsResponse response;
  DUNLIN_RETURN_IF_ERROR(
      Call(migrations_, &pb::MigrationService::Stub::ResolveTargets, request, response));
  return std::vector<std::string>(response.targets().begin(), response.targets().end());
}

absl::StatusOr<std::vector<pb::GateResult>> Client::CheckGate(const pb::CheckGateRequest& request) {
  pb::CheckGateResponse response;
  DUNLIN_RETURN_IF_ERROR(
      Call(migrations_, &pb::MigrationService::Stub::CheckGate, request, response));
  return std::vector<pb::GateResult>(response.results().begin(), response.results().end());
}

absl::StatusOr<pb::LookForSchemaLocksResponse> Client::LookForSchemaLocks(
    const pb::LookForSchemaLocksRequest& request) {
  pb::LookForSchemaLocksResponse response;
  DUNLIN_RETURN_IF_ERROR(
      Call(migrations_, &pb::MigrationService::Stub::LookForSchemaLocks, request, response));
  return response;
}

absl::StatusOr<pb::StartRunResponse> Client::StartRun(const pb::StartRunRequest& request) {
  pb::StartRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::StartRun, request, response));
  return response;
}
absl::StatusOr<pb::Run> Client::PauseRun(const pb::PauseRunRequest& request) {
  pb::PauseRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::PauseRun, request, response));
  return response.run();
}
absl::StatusOr<pb::Run> Client::ResumeRun(const pb::ResumeRunRequest& request) {
  pb::ResumeRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::ResumeRun, request, response));
  return response.run();
}
absl::StatusOr<std::vector<pb::Run>> Client::ThrottleRun(const pb::ThrottleRunRequest& request) {
  pb::ThrottleRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::ThrottleRun, request, response));
  return std::vector<pb::Run>(response.runs().begin(), response.runs().end());
}
absl::StatusOr<pb::Run> Client::CancelRun(const pb::CancelRunRequest& request) {
  pb::CancelRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::CancelRun, request, response));
  return response.run();
}
absl::StatusOr<pb::Run> Client::ApproveRun(const pb::ApproveRunRequest& request) {
  pb::ApproveRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::ApproveRun, request, response));
  return response.run();
}
absl::StatusOr<pb::Run> Client::RedoRun(const pb::RedoRunRequest& request) {
  pb::RedoRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::RedoRun, request, response));
  return response.run();
}
absl::StatusOr<pb::Run> Client::UndoRun(const pb::UndoRunRequest& request) {
  pb::UndoRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::UndoRun, request, response));
  return response.run();
}
absl::StatusOr<pb::Run> Client::ForgetRun(const pb::ForgetRunRequest& request) {
  pb::ForgetRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::ForgetRun, request, response));
  return response.run();
}
absl::StatusOr<std::vector<pb::Run>> Client::PauseAllRuns(const pb::PauseAllRunsRequest& request) {
  pb::PauseAllRunsResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::PauseAllRuns, request, response));
  return std::vector<pb::Run>(response.runs().begin(), response.runs().end());
}
absl::StatusOr<std::vector<pb::Run>> Client::ResumeAllRuns(
    const pb::ResumeAllRunsRequest& request) {
  pb::ResumeAllRunsResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::ResumeAllRuns, request, response));
  return std::vector<pb::Run>(response.runs().begin(), response.runs().end());
}
absl::StatusOr<pb::BaselineMigrationResponse> Client::BaselineMigration(
    const pb::BaselineMigrationRequest& request) {
  pb::BaselineMigrationResponse response;
  DUNLIN_RETURN_IF_ERROR(
      Call(migrations_, &pb::MigrationService::Stub::BaselineMigration, request, response));
  return response;
}
absl::StatusOr<pb::Run> Client::GetRun(const std::string& run) {
  pb::GetRunRequest request;
  request.set_run(run);
  pb::GetRunResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::GetRun, request, response));
  return response.run();
}

absl::StatusOr<std::vector<pb::Run>> Client::ListRuns(bool live_only) {
  pb::ListRunsRequest request;
  request.set_live_only(live_only);
  return ListAllRuns(request);
}

absl::StatusOr<std::vector<pb::Run>> Client::ListRunsOfConcern() {
  pb::ListRunsRequest request;
  request.set_live_only(true);
  request.set_with_failed(true);
  request.set_with_signals(true);
  return ListAllRuns(request);
}

absl::StatusOr<std::vector<pb::Run>> Client::ListAllRuns(pb::ListRunsRequest request) {
  std::vector<pb::Run> all;
  request.set_page_size(kMaxPageSize);
  do {
    pb::ListRunsResponse response;
    DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::ListRuns, request, response));
    all.insert(all.end(), response.runs().begin(), response.runs().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<std::vector<pb::Shard>> Client::ListShards(const std::string& run) {
  std::vector<pb::Shard> all;
  pb::ListShardsRequest request;
  request.set_run(run);
  request.set_page_size(kMaxPageSize);
  do {
    pb::ListShardsResponse response;
    DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::ListShards, request, response));
    all.insert(all.end(), response.shards().begin(), response.shards().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<std::vector<pb::RunEvent>> Client::ListEvents(const std::string& run,
                                                             bool audit_only) {
  std::vector<pb::RunEvent> all;
  pb::ListRunEventsRequest request;
  request.set_run(run);
  request.set_page_size(kMaxPageSize);
  request.set_audit_only(audit_only);
  do {
    pb::ListRunEventsResponse response;
    DUNLIN_RETURN_IF_ERROR(Call(runs_, &pb::RunService::Stub::ListRunEvents, request, response));
    all.insert(all.end(), response.events().begin(), response.events().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<std::vector<pb::Agent>> Client::ListAgents() {
  std::vector<pb::Agent> all;
  pb::ListAgentsRequest request;
  request.set_page_size(kMaxPageSize);
  do {
    pb::ListAgentsResponse response;
    DUNLIN_RETURN_IF_ERROR(Call(fleet_, &pb::FleetService::Stub::ListAgents, request, response));
    all.insert(all.end(), response.agents().begin(), response.agents().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<pb::Adoption> Client::AdoptTarget(const pb::AdoptTargetRequest& request) {
  pb::AdoptTargetResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(fleet_, &pb::FleetService::Stub::AdoptTarget, request, response));
  return response.adoption();
}
absl::StatusOr<pb::Adoption> Client::GetAdoption(const std::string& target) {
  pb::GetAdoptionRequest request;
  request.set_target(target);
  pb::GetAdoptionResponse response;
  DUNLIN_RETURN_IF_ERROR(Call(fleet_, &pb::FleetService::Stub::GetAdoption, request, response));
  return response.adoption();
}

absl::StatusOr<std::vector<pb::QuarantinedRow>> Client::ListQuarantinedRows(
    const std::string& run) {
  std::vector<pb::QuarantinedRow> all;
  pb::ListQuarantinedRowsRequest request;
  request.set_run(run);
  request.set_page_size(kMaxPageSize);
  do {
    pb::ListQuarantinedRowsResponse response;
    DUNLIN_RETURN_IF_ERROR(
        Call(runs_, &pb::RunService::Stub::ListQuarantinedRows, request, response));
    all.insert(all.end(), response.rows().begin(), response.rows().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<pb::Run> Client::RetryQuarantinedRows(
    const pb::RetryQuarantinedRowsRequest& request) {
  pb::RetryQuarantinedRowsResponse response;
  DUNLIN_RETURN_IF_ERROR(
      Call(runs_, &pb::RunService::Stub::RetryQuarantinedRows, request, response));
  return response.run();
}
absl::StatusOr<pb::Run> Client::AcceptQuarantinedRows(
    const pb::AcceptQuarantinedRowsRequest& request) {
  pb::AcceptQuarantinedRowsResponse response;
  DUNLIN_RETURN_IF_ERROR(
      Call(runs_, &pb::RunService::Stub::AcceptQuarantinedRows, request, response));
  return response.run();
}

absl::Status Client::Watch(const std::string& run, int64_t after_revision,
                           const std::function<bool(const pb::WatchRunResponse&)>& on_message,
                           std::stop_token stop) {
  const CallFault fault = DUNLIN_CALL("stub.stream", "WatchRun");
  if (fault.Before()) return absl::UnavailableError("the call was not sent");
  grpc::ClientContext context;
  const std::stop_callback cancel(stop, [&] { context.TryCancel(); });
  SilenceGuard guard(context, fault.Bound(kSilence));
  pb::WatchRunRequest request;
  request.set_run(run);
  request.set_after_revision(after_revision);
  auto reader = runs_[current_ % runs_.size()]->WatchRun(&context, request);
  pb::WatchRunResponse message;
  while (reader->Read(&message) && !fault.After()) {
    if (fault.Hangs()) continue;  // it does not arrive
    guard.Heard();
    if (on_message(message)) continue;
    context.TryCancel();
    reader->Finish();  // CANCELLED, by ourselves
    return absl::OkStatus();
  }
  if (fault.After()) context.TryCancel();
  absl::Status status = FromGrpc(reader->Finish());
  if (guard.silent()) status = absl::UnavailableError("the coordinator has fallen silent");
  if (fault.After()) status = absl::UnavailableError("the answer was lost");
  if (Unreachable(status)) ++current_;
  return status.ok() ? absl::UnavailableError("the stream ended") : status;
}

}  // namespace dunlin::cli
