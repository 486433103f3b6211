#include "agent/signals/sampler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

#include "agent/signals/statements.h"
#include "common/log.h"
#include "common/pg/types.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// Ten looks a second find an application that is idle half of the time. Thirty tell a tenth more
// transactions from chance within seconds hardly worse than a hundred, since the application itself
// varies more than that; a hundred cost as much of a core as a trickle of batches.
constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr absl::Duration kTickBesideOthers = absl::Milliseconds(30);
// One look may fall between two transactions of an application: so many close to each other before
// it is told that nobody is there.
constexpr int kFirstLooks = 10;
constexpr absl::Duration kReportEvery = absl::Seconds(1);
// Finds a wait of 100 ms. While nobody is there each look is one at locks: it disturbs nobody, and
// whoever comes is seen at once.
constexpr absl::Duration kLockLookEvery = absl::Milliseconds(150);
constexpr absl::Duration kRetry = absl::Milliseconds(500);
// A signal that takes longer is no help at once a second.
constexpr absl::Duration kStatementTimeout = absl::Seconds(1);
// dunlin.progress takes an older note for gone.
constexpr absl::Duration kNoteAgainAfter = absl::Seconds(5);

}  // namespace

SignalSampler::SignalSampler(std::string target, const SessionFactory& sessions,
                             std::function<void()> somebody_came, Clock& clock)
    : target_(std::move(target)),
      sessions_(sessions),
      somebody_came_(std::move(somebody_came)),
      clock_(clock) {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

SignalSampler::~SignalSampler() {
  thread_.request_stop();
  MutexLock lock(mutex_);
  changed_.NotifyAll();
}

void SignalSampler::SetDuty(std::optional<std::vector<MeasuredRun>> runs) {
  MutexLock lock(mutex_);
  duty_ = std::move(runs);
  if (!duty_) report_.reset();
  changed_.NotifyAll();
}

std::optional<SignalReport> SignalSampler::Take() {
  MutexLock lock(mutex_);
  return std::exchange(report_, std::nullopt);
}

// What one knows of a target is of no use to a later duty: it would be old.
void SignalSampler::Forget() {
  connection_.reset();
  locks_ = LockWatch();
  probe_ = ProbeWatch();
  slowdown_ = SlowdownWatch();
  crowding_ = CrowdingWatch();
  noted_.clear();
  samples_.clear();
  looks_ = 0;
  looked_at_ = -absl::InfiniteDuration();
  reported_at_ = -absl::InfiniteDuration();
  signals_.clear();
  signals_.push_back(MakeReplicaSignal());
  signals_.push_back(MakeSlotSignal());
  signals_.push_back(MakeWalSignal());
  signals_.push_back(MakeTransactionSignal());
  signals_.push_back(MakeDeadRowsSignal());
  signals_.push_back(MakeCheckSignal());
}

void SignalSampler::MeasureAll(const std::vector<MeasuredRun>& runs,
                               std::vector<SignalSample>& samples) {
  for (const std::unique_ptr<Signal>& signal : signals_) {
    std::vector<SignalSample> measured;
    const absl::Status status = signal->Measure(*connection_, clock_.Monotonic(), runs, measured);
    if (status.ok()) {
      samples.insert(samples.end(), measured.begin(), measured.end());
      continue;
    }
    if (connection_->broken()) return;
    for (const SignalKind kind : signal->kinds())
      samples.push_back({.kind = kind, .not_measured = std::string(status.message())});
  }
}

absl::Status SignalSampler::NotePace(const std::vector<MeasuredRun>& runs) {
  std::map<std::string, Noted> noted;
  const absl::Duration now = clock_.Monotonic();
  for (const MeasuredRun& run : runs) {
    const auto before = noted_.find(run.id.value());
    const bool same = before != noted_.end() && before->second.reason == run.throttled_reason;
    if (same && (run.throttled_reason.empty() || now - before->second.at < kNoteAgainAfter)) {
      noted[run.id.value()] = before->second;
      continue;
    }
    const absl::Status written =
        connection_->Execute(sql::kNotePace, {run.id.value(), run.throttled_reason}).status();
    // A ledger of an older release has no place for it, an older grant no right to it.
    const std::string sqlstate = pg::SqlStateOf(written);
    if (!written.ok() && sqlstate != "42P01" && sqlstate != "42501") return written;
    noted[run.id.value()] = {.reason = run.throttled_reason, .at = now};
  }
  noted_ = std::move(noted);
  return absl::OkStatus();
}

bool SignalSampler::Alone() const { return locks_.AloneFor(clock_.Monotonic()) > kReportEvery; }

absl::Status SignalSampler::Tick(std::stop_token stop, const std::vector<MeasuredRun>& runs) {
  if (connection_ == nullptr || connection_->broken()) {
    DUNLIN_ASSIGN_OR_RETURN(connection_,
                            sessions_.OpenForTask(kStatementTimeout, "public, pg_temp", stop));
  }
  const bool was_alone = Alone();
  if (looks_ < kFirstLooks || runs.empty() || was_alone ||
      clock_.Monotonic() - looked_at_ >= kLockLookEvery) {
    if (looks_ < kFirstLooks) ++looks_;
    looked_at_ = clock_.Monotonic();
    DUNLIN_RETURN_IF_ERROR(locks_.Look(*connection_, looked_at_));
  }
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result who, connection_->Execute(sql::kWhoWorks));
  crowding_.Note(who.Int(0, 1), who.Bool(0, 0));
  const absl::Duration asked_at = clock_.Monotonic();
  DUNLIN_RETURN_IF_ERROR(connection_->Execute(sql::kProbe).status());
  const absl::Duration took = clock_.Monotonic() - asked_at;
  probe_.Note(took, !locks_.dunlin_works());
  slowdown_.Note(took, who.Bool(0, 0));
  // Somebody waits for the first report.
  if (looks_ < kFirstLooks) return absl::OkStatus();
  const bool due = clock_.Monotonic() - reported_at_ >= kReportEvery;
  const bool somebody_came = was_alone && !Alone() && !samples_.empty();
  if (!due && !somebody_came) return absl::OkStatus();
  if (due) {
    reported_at_ = asked_at;
    DUNLIN_RETURN_IF_ERROR(Measure(runs));
  }
  {
    // That somebody came cannot wait; what they feel is told by the mean of a whole second.
    MutexLock lock(mutex_);
    if (duty_) {
      report_ = SignalReport{.samples = samples_,
                             .deadlock_timeout = locks_.deadlock_timeout(),
                             .alone = locks_.AloneFor(clock_.Monotonic())};
    }
  }
  if (somebody_came) somebody_came_();
  return due ? NotePace(runs) : absl::OkStatus();
}

absl::Status SignalSampler::Measure(const std::vector<MeasuredRun>& runs) {
  samples_.clear();
  locks_.Report(samples_);
  probe_.Report(samples_);
  slowdown_.Report(samples_);
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result ended, connection_->Execute(sql::kTransactionsEnded));
  crowding_.NoteEnded(ended.Int(0, 0), clock_.Monotonic());
  crowding_.Report(samples_);
  MeasureAll(runs, samples_);
  return connection_->broken() ? absl::UnavailableError("the connection was lost")
                               : absl::OkStatus();
}

void SignalSampler::Run(std::stop_token stop) {
  absl::Duration logged_at = -absl::InfiniteDuration();
  Forget();
  bool on_duty = false;
  while (!stop.stop_requested()) {
    std::vector<MeasuredRun> runs;
    {
      MutexLock lock(mutex_);
      if (!duty_ && on_duty) {
        Forget();
        on_duty = false;
      }
      while (!duty_ && !stop.stop_requested()) changed_.Wait(mutex_);
      if (stop.stop_requested()) return;
      on_duty = true;
      runs = *duty_;
    }
    const absl::Duration began = clock_.Monotonic();
    const absl::Status ticked = Tick(stop, runs);
    if (!ticked.ok() && !stop.stop_requested() && clock_.Monotonic() - logged_at > kLogEvery) {
      LOG(WARNING)
          << Event("signals_not_measured").Kv("target", target_).Kv("why", ticked.message());
      logged_at = clock_.Monotonic();
    }
    // While nothing runs there a look a second keeps what is normal.
    const absl::Duration tick = looks_ < kFirstLooks ? kTickBesideOthers
                                : runs.empty()       ? kReportEvery
                                : Alone()            ? kTick
                                                     : kTickBesideOthers;
    const absl::Duration pause = ticked.ok() ? tick - (clock_.Monotonic() - began) : kRetry;
    clock_.SleepFor(std::max(pause, absl::Milliseconds(10)), stop);
  }
}

}  // namespace dunlin::agent
