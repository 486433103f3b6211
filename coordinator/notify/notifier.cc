#include "coordinator/notify/notifier.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "coordinator/notify/http_post.h"
#include "coordinator/notify/notice.h"

namespace dunlin::coordinator {

absl::Status Notifier::TellRun(const NoticesOfRun& notices, std::stop_token stop) {
  int64_t told = notices.told_before;
  bool stall_told = false;
  absl::Status posted;
  for (const pb::RunEvent& event : notices.events) {
    // Whoever goes on tells the rest at once.
    if (stop.stop_requested()) return store_.NoteTold(notices.run.run_id(), told, true, false);
    posted = PostJson(options_.url, NoticeBody(notices.run, event, options_.shape));
    if (!posted.ok()) break;
    told = event.revision();
  }
  if (posted.ok()) {
    told = notices.up_to;
    if (notices.stall) {
      posted = PostJson(options_.url, NoticeBody(notices.run, *notices.stall, options_.shape));
      stall_told = posted.ok();
    }
  }
  DUNLIN_RETURN_IF_ERROR(store_.NoteTold(notices.run.run_id(), told, posted.ok(), stall_told));
  return posted;
}

absl::Status Notifier::Tell(std::stop_token stop) {
  DUNLIN_ASSIGN_OR_RETURN(const std::vector<NoticesOfRun> all,
                          store_.ClaimNotices(options_.stall_after));
  absl::Status worst;
  for (const NoticesOfRun& notices : all) {
    const absl::Status told = TellRun(notices, stop);
    if (!told.ok()) worst = told;
  }
  return worst;
}

void Notifier::Run(std::stop_token stop) {
  Clock& clock = SystemClock();
  absl::Duration logged_at = -absl::InfiniteDuration();
  while (!stop.stop_requested()) {
    const absl::Status told = Tell(stop);
    if (!told.ok() && clock.Monotonic() - logged_at > kLogEvery) {
      LOG(WARNING) << Event("notify_failed").Kv("why", told.message());
      logged_at = clock.Monotonic();
    }
    clock.SleepFor(options_.look_every, stop);
  }
}

}  // namespace dunlin::coordinator
