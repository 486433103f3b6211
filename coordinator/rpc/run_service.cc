#include "dunlin/v1/run_service.grpc.pb.h"

#include "common/limits.h"
#include "common/rpc/status_convert.h"
#include "common/status_macros.h"
#include "coordinator/rpc/serve.h"
#include "coordinator/rpc/services.h"
#include "coordinator/watch/watch_reactor.h"

namespace dunlin::coordinator {
namespace {

template <typename Request>
absl::Status CheckCommand(const Request& request) {
  DUNLIN_RETURN_IF_ERROR(CheckText("request_id", request.request_id(), kMaxNameBytes, true));
  DUNLIN_RETURN_IF_ERROR(CheckText("operator_name", request.operator_name(), kMaxNameBytes, true));
  return CheckText("reason", request.reason(), kMaxReasonBytes);
}

// Where a command came from, for the audit log; a call inside this process has no address.
Caller CallerOf(const grpc::ServerContext& context) {
  const std::string peer = context.peer();
  return {.peer = peer == "unknown" ? std::string() : peer};
}

absl::Status CheckLimits(const pb::ThrottleRunRequest& request) {
  if (!request.has_concurrency() && !request.has_rows_per_second() &&
      !request.has_batch_time_duration() && !request.has_ratio()) {
    return absl::InvalidArgumentError(
        "says nothing to change; expected concurrency, rows per second, batch time or ratio");
  }
  if (request.has_concurrency() && (request.concurrency() < 1 || request.concurrency() > 256))
    return absl::InvalidArgumentError("concurrency must be 1 to 256");
  if (request.has_rows_per_second() && request.rows_per_second() < 0)
    return absl::InvalidArgumentError("rows per second must not be negative; 0 = no limit");
  const double batch_seconds = static_cast<double>(request.batch_time_duration().seconds()) +
                               request.batch_time_duration().nanos() * 1e-9;
  if (request.has_batch_time_duration() && (batch_seconds < 0.005 || batch_seconds > 10))
    return absl::InvalidArgumentError("batch time must be 5ms to 10s");
  if (request.has_ratio() && !(request.ratio() > 0 && request.ratio() <= 1)) {
    return absl::InvalidArgumentError(
        "ratio must be over 0, up to 1; to stop a run altogether pause it");
  }
  if (request.has_for_duration() && request.for_duration().seconds() < 1)
    return absl::InvalidArgumentError("the duration must be at least a second");
  return absl::OkStatus();
}

// Unary calls are synchronous, one thread each while it works; the stream is a callback, so that a
// watcher costs no thread.
class RunServiceImpl final
    : public pb::RunService::WithCallbackMethod_WatchRun<pb::RunService::Service> {
 public:
  RunServiceImpl(Store& store, RevisionHub& hub) : store_(store), hub_(hub) {}

  grpc::Status StartRun(grpc::ServerContext* context, const pb::StartRunRequest* request,
                        pb::StartRunResponse* response) override {
    return Serve(context, "StartRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("migration", request->migration(), kMaxNameBytes, true));
      DUNLIN_RETURN_IF_ERROR(
          CheckText("definition", request->definition(), kMaxDefinitionBytes, true));
      DUNLIN_RETURN_IF_ERROR(CheckText("target", request->target(), kMaxNameBytes));
      if (request->parameters_size() > kMaxParameters)
        return absl::InvalidArgumentError("too many parameters");
      if (request->stop_after_rows() < 0)
        return absl::InvalidArgumentError("stop_after_rows must not be negative");
      if (request->priority() < 0 || request->priority() > 1000)
        return absl::InvalidArgumentError("priority must be 1 to 1000");
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.StartRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status PauseRun(grpc::ServerContext* context, const pb::PauseRunRequest* request,
                        pb::PauseRunResponse* response) override {
    return Serve(context, "PauseRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.PauseRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status ResumeRun(grpc::ServerContext* context, const pb::ResumeRunRequest* request,
                         pb::ResumeRunResponse* response) override {
    return Serve(context, "ResumeRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ResumeRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status CancelRun(grpc::ServerContext* context, const pb::CancelRunRequest* request,
                         pb::CancelRunResponse* response) override {
    return Serve(context, "CancelRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.CancelRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status ThrottleRun(grpc::ServerContext* context, const pb::ThrottleRunRequest* request,
                           pb::ThrottleRunResponse* response) override {
    return Serve(context, "ThrottleRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_RETURN_IF_ERROR(CheckLimits(*request));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ThrottleRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status GetRun(grpc::ServerContext* context, const pb::GetRunRequest* request,
                      pb::GetRunResponse* response) override {
    return Serve(context, "GetRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response->mutable_run(), store_.GetRun(request->run()));
      return absl::OkStatus();
    });
  }
  grpc::Status ListRuns(grpc::ServerContext* context, const pb::ListRunsRequest* request,
                        pb::ListRunsResponse* response) override {
    return Serve(context, "ListRuns", [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ListRuns(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status ListShards(grpc::ServerContext* context, const pb::ListShardsRequest* request,
                          pb::ListShardsResponse* response) override {
    return Serve(context, "ListShards", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ListShards(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status ListRunEvents(grpc::ServerContext* context, const pb::ListRunEventsRequest* request,
                             pb::ListRunEventsResponse* response) override {
    return Serve(context, "ListRunEvents", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ListRunEvents(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status ListQuarantinedRows(grpc::ServerContext* context,
                                   const pb::ListQuarantinedRowsRequest* request,
                                   pb::ListQuarantinedRowsResponse* response) override {
    return Serve(context, "ListQuarantinedRows", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ListQuarantinedRows(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status RetryQuarantinedRows(grpc::ServerContext* context,
                                    const pb::RetryQuarantinedRowsRequest* request,
                                    pb::RetryQuarantinedRowsResponse* response) override {
    return Serve(context, "RetryQuarantinedRows", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response,
                              store_.RetryQuarantinedRows(*request, {.peer = context->peer()}));
      return absl::OkStatus();
    });
  }
  grpc::Status AcceptQuarantinedRows(grpc::ServerContext* context,
                                     const pb::AcceptQuarantinedRowsRequest* request,
                                     pb::AcceptQuarantinedRowsResponse* response) override {
    return Serve(context, "AcceptQuarantinedRows", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response,
                              store_.AcceptQuarantinedRows(*request, {.peer = context->peer()}));
      return absl::OkStatus();
    });
  }
  grpc::ServerWriteReactor<pb::WatchRunResponse>* WatchRun(
      grpc::CallbackServerContext*, const pb::WatchRunRequest* request) override {
    return StartWatch(hub_, request->run(), request->after_revision());
  }

 private:
  Store& store_;
  RevisionHub& hub_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeRunService(Store& store, RevisionHub& hub) {
  return std::make_unique<RunServiceImpl>(store, hub);
}

}  // namespace dunlin::coordinator
