#include "dunlin/v1/run_service.grpc.pb.h"

#include "common/limits.h"
#include "common/rpc/status_convert.h"
#include "common/status_macros.h"
#include "coordinator/rpc/serve.h"
#include "coordinator/rpc/services.h"
#include "coordinator/watch/watch_reactor.h"

namespace dunlin::coordinator {
namespace {

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
  grpc::Status ApproveRun(grpc::ServerContext* context, const pb::ApproveRunRequest* request,
                          pb::ApproveRunResponse* response) override {
    return Serve(context, "ApproveRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ApproveRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status RedoRun(grpc::ServerContext* context, const pb::RedoRunRequest* request,
                       pb::RedoRunResponse* response) override {
    return Serve(context, "RedoRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.RedoRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status UndoRun(grpc::ServerContext* context, const pb::UndoRunRequest* request,
                       pb::UndoRunResponse* response) override {
    return Serve(context, "UndoRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.UndoRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status ForgetRun(grpc::ServerContext* context, const pb::ForgetRunRequest* request,
                         pb::ForgetRunResponse* response) override {
    return Serve(context, "ForgetRun", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_RETURN_IF_ERROR(CheckText("run", request->run(), kMaxNameBytes, true));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ForgetRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status PauseAllRuns(grpc::ServerContext* context, const pb::PauseAllRunsRequest* request,
                            pb::PauseAllRunsResponse* response) override {
    return Serve(context, "PauseAllRuns", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.PauseAllRuns(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status ResumeAllRuns(grpc::ServerContext* context, const pb::ResumeAllRunsRequest* request,
                             pb::ResumeAllRunsResponse* response) override {
    return Serve(context, "ResumeAllRuns", [&]() -> absl::Status {
      DUNLIN_RETURN_IF_ERROR(CheckCommand(*request));
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ResumeAllRuns(*request, CallerOf(*context)));
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
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.RetryQuarantinedRows(*request, CallerOf(*context)));
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
                              store_.AcceptQuarantinedRows(*request, CallerOf(*context)));
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
