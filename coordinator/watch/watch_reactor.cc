#include "coordinator/watch/watch_reactor.h"

#include <memory>
#include <utility>

#include "common/clock.h"
#include "common/limits.h"
#include "common/rpc/status_convert.h"

namespace dunlin::coordinator {
namespace {

// gRPC's reactor and the hub's watcher live as long as either needs them: the reactor keeps itself
// until OnDone, the hub holds a shared part that forgets the reactor then. No callback blocks (trap
// 26): they only take a mutex for a few instructions.
class WatchReactor;

class SharedWatch final : public RevisionHub::Watcher {
 public:
  SharedWatch(WatchReactor* reactor, int64_t after_revision)
      : reactor_(reactor), revision_(after_revision) {}
  bool Ready() override {
    MutexLock lock(mutex_);
    return reactor_ != nullptr && !writing_;
  }
  void Deliver(const WatchDelta& delta) override;
  void Idle() override;
  void Fail(const absl::Status& status) override;
  void Written(bool ok);
  void Detach() {
    MutexLock lock(mutex_);
    reactor_ = nullptr;
  }

 private:
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Finish(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  WatchReactor* reactor_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status pending_end_ ABSL_GUARDED_BY(mutex_);
  pb::WatchRunResponse message_ ABSL_GUARDED_BY(mutex_);
  int64_t revision_ ABSL_GUARDED_BY(mutex_);  // of the latest message
  absl::Duration written_at_ ABSL_GUARDED_BY(mutex_) = SystemClock().Monotonic();
};

class WatchReactor final : public grpc::ServerWriteReactor<pb::WatchRunResponse> {
 public:
  WatchReactor(RevisionHub& hub, const std::string& run, int64_t after_revision)
      : hub_(hub), shared_(std::make_shared<SharedWatch>(this, after_revision)) {
    hub_.Add(shared_, run, after_revision);
  }
  void OnWriteDone(bool ok) override { shared_->Written(ok); }
  void OnCancel() override { shared_->Fail(absl::CancelledError("the watcher is gone")); }
  void OnDone() override {
    shared_->Detach();
    hub_.Remove(shared_.get());
    delete this;
  }

 private:
  RevisionHub& hub_;
  std::shared_ptr<SharedWatch> shared_;
};

class RefusedWatch final : public grpc::ServerWriteReactor<pb::WatchRunResponse> {
 public:
  explicit RefusedWatch(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

void SharedWatch::Write() {
  writing_ = true;
  written_at_ = SystemClock().Monotonic();
  reactor_->StartWrite(&message_);
}

void SharedWatch::Deliver(const WatchDelta& delta) {
  MutexLock lock(mutex_);
  if (reactor_ == nullptr || finished_) return;
  message_.Clear();
  message_.set_revision(delta.revision);
  revision_ = delta.revision;
  if (delta.snapshot) {
    *message_.mutable_snapshot()->mutable_run() = delta.run;
    message_.mutable_snapshot()->mutable_shards()->Assign(delta.shards.begin(), delta.shards.end());
  } else {
    *message_.mutable_changes()->mutable_run() = delta.run;
    message_.mutable_changes()->mutable_events()->Assign(delta.events.begin(), delta.events.end());
    message_.mutable_changes()->mutable_shards()->Assign(delta.shards.begin(), delta.shards.end());
  }
  Write();
}

void SharedWatch::Idle() {
  MutexLock lock(mutex_);
  if (reactor_ == nullptr || finished_ || writing_) return;
  if (SystemClock().Monotonic() - written_at_ < kWatchProgressInterval * 0.8) return;
  message_.Clear();
  message_.set_revision(revision_);
  message_.mutable_progress();
  Write();
}

void SharedWatch::Finish(const absl::Status& status) {
  if (reactor_ == nullptr || finished_) return;
  if (writing_) {
    pending_end_ = status;
    return;
  }
  finished_ = true;
  reactor_->Finish(ToGrpc(status));
}

void SharedWatch::Fail(const absl::Status& status) {
  MutexLock lock(mutex_);
  Finish(status);
}

void SharedWatch::Written(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  if (!ok) pending_end_ = absl::CancelledError("the watcher is gone");
  if (!pending_end_.ok()) Finish(pending_end_);
}

}  // namespace

grpc::ServerWriteReactor<pb::WatchRunResponse>* StartWatch(RevisionHub& hub, const std::string& run,
                                                           int64_t after_revision) {
  return new WatchReactor(hub, run, after_revision);
}

grpc::ServerWriteReactor<pb::WatchRunResponse>* RefuseWatch(const absl::Status& status) {
  return new RefusedWatch(status);
}

}  // namespace dunlin::coordinator
