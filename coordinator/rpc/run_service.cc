#include "dunlin/v1/run_service.grpc.pb.h"

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
    return Serve(context, "StartRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.StartRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status PauseRun(grpc::ServerContext* context, const pb::PauseRunRequest* request,
                        pb::PauseRunResponse* response) override {
    return Serve(context, "PauseRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.PauseRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status ResumeRun(grpc::ServerContext* context, const pb::ResumeRunRequest* request,
                         pb::ResumeRunResponse* response) override {
    return Serve(context, "ResumeRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ResumeRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status CancelRun(grpc::ServerContext* context, const pb::CancelRunRequest* request,
                         pb::CancelRunResponse* response) override {
    return Serve(context, "CancelRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.CancelRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status ApproveRun(grpc::ServerContext* context, const pb::ApproveRunRequest* request,
                          pb::ApproveRunResponse* response) override {
    return Serve(context, "ApproveRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ApproveRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status RedoRun(grpc::ServerContext* context, const pb::RedoRunRequest* request,
                       pb::RedoRunResponse* response) override {
    return Serve(context, "RedoRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.RedoRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status UndoRun(grpc::ServerContext* context, const pb::UndoRunRequest* request,
                       pb::UndoRunResponse* response) override {
    return Serve(context, "UndoRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.UndoRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status ForgetRun(grpc::ServerContext* context, const pb::ForgetRunRequest* request,
                         pb::ForgetRunResponse* response) override {
    return Serve(context, "ForgetRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ForgetRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status PauseAllRuns(grpc::ServerContext* context, const pb::PauseAllRunsRequest* request,
                            pb::PauseAllRunsResponse* response) override {
    return Serve(context, "PauseAllRuns", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.PauseAllRuns(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status ResumeAllRuns(grpc::ServerContext* context, const pb::ResumeAllRunsRequest* request,
                             pb::ResumeAllRunsResponse* response) override {
    return Serve(context, "ResumeAllRuns", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ResumeAllRuns(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status ThrottleRun(grpc::ServerContext* context, const pb::ThrottleRunRequest* request,
                           pb::ThrottleRunResponse* response) override {
    return Serve(context, "ThrottleRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ThrottleRun(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status GetRun(grpc::ServerContext* context, const pb::GetRunRequest* request,
                      pb::GetRunResponse* response) override {
    return Serve(context, "GetRun", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response->mutable_run(), store_.GetRun(request->run()));
      return absl::OkStatus();
    });
  }
  grpc::Status ListRuns(grpc::ServerContext* context, const pb::ListRunsRequest* request,
                        pb::ListRunsResponse* response) override {
    return Serve(context, "ListRuns", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ListRuns(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status ListShards(grpc::ServerContext* context, const pb::ListShardsRequest* request,
                          pb::ListShardsResponse* response) override {
    return Serve(context, "ListShards", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ListShards(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status ListRunEvents(grpc::ServerContext* context, const pb::ListRunEventsRequest* request,
                             pb::ListRunEventsResponse* response) override {
    return Serve(context, "ListRunEvents", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ListRunEvents(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status ListQuarantinedRows(grpc::ServerContext* context,
                                   const pb::ListQuarantinedRowsRequest* request,
                                   pb::ListQuarantinedRowsResponse* response) override {
    return Serve(context, "ListQuarantinedRows", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.ListQuarantinedRows(*request));
      return absl::OkStatus();
    });
  }
  grpc::Status RetryQuarantinedRows(grpc::ServerContext* context,
                                    const pb::RetryQuarantinedRowsRequest* request,
                                    pb::RetryQuarantinedRowsResponse* response) override {
    return Serve(context, "RetryQuarantinedRows", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response, store_.RetryQuarantinedRows(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::Status AcceptQuarantinedRows(grpc::ServerContext* context,
                                     const pb::AcceptQuarantinedRowsRequest* request,
                                     pb::AcceptQuarantinedRowsResponse* response) override {
    return Serve(context, "AcceptQuarantinedRows", *request, [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(*response,
                              store_.AcceptQuarantinedRows(*request, CallerOf(*context)));
      return absl::OkStatus();
    });
  }
  grpc::ServerWriteReactor<pb::WatchRunResponse>* WatchRun(
      grpc::CallbackServerContext*, const pb::WatchRunRequest* request) override {
    const absl::Status checked = CheckRequest(*request);
    return checked.ok() ? StartWatch(hub_, request->run(), request->after_revision())
                        : RefuseWatch(checked);
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
