// How fast a run may go: asks logic/pace_controller with what is known of its target.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include "common/status_macros.h"
#include "coordinator/logic/pace.h"
#include "coordinator/logic/wal_budget.h"
#include "coordinator/store/pace_internal.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

// Values change all the time; watchers see them once a second.
constexpr absl::Duration kShowEvery = absl::Seconds(1);
constexpr double kWalNearLimit = 0.7;

struct Remembered {
  PaceState state;
  std::vector<ReasonSince> since;
  std::string signature;
  absl::Time shown_at = absl::InfinitePast();
  bool known = false;
};

absl::StatusOr<Remembered> Recall(Transaction& tx, const std::string& run) {
  Remembered memory;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kReadPace, {run}));
  if (found.rows.empty()) return memory;
  memory.known = true;
  const std::vector<pg::Value>& row = found.rows[0];
  memory.state = {.rung = static_cast<int>(found.Int(0, 0)),
                  .too_much = static_cast<int>(found.Int(0, 1)),
                  .pressure_seen = found.Bool(0, 2),
                  .pressed_alone = found.Bool(0, 3),
                  .was_alone = found.Bool(0, 4),
                  .changed_at = FromSeconds(Number(row[5])),
                  .pressed_at = FromSeconds(Number(row[6])),
                  .busy_at = FromSeconds(Number(row[7]))};
  std::vector<pg::Value> reasons;
  DUNLIN_RETURN_IF_ERROR(pg::DecodeTextArray(found.Text(0, 8), reasons));
  for (const pg::Value& reason : reasons) {
    const std::string text = reason.value_or("");
    const size_t space = text.find(' ');
    if (space == std::string::npos) continue;
    memory.since.push_back(
        {.key = text.substr(space + 1), .since = FromSeconds(Number(text.substr(0, space)))});
  }
  memory.signature = found.Text(0, 9);
  memory.shown_at = FromSeconds(Number(row[10]));
  return memory;
}

absl::Status Remember(Transaction& tx, const std::string& run, const PaceDecision& decision,
                      const Remembered& memory) {
  std::vector<std::string> reasons;
  for (const ReasonSince& reason : memory.since)
    reasons.push_back(absl::StrFormat("%.3f %s", ToSeconds(reason.since), reason.key));
  const PaceState& state = decision.state;
  return tx.Run(
      sql::kSavePace,
      {run, absl::StrCat(state.rung), absl::StrCat(state.too_much), Bool(state.pressure_seen),
       Bool(state.pressed_alone), Bool(state.was_alone),
       absl::StrFormat("%.3f", ToSeconds(state.changed_at)),
       absl::StrFormat("%.3f", ToSeconds(state.pressed_at)),
       absl::StrFormat("%.3f", ToSeconds(state.busy_at)),
       absl::StrCat(absl::ToInt64Milliseconds(decision.level.batch_time)),
       absl::StrCat(decision.level.duty), pg::EncodeTextArray(reasons), memory.signature,
       absl::StrFormat("%.3f", ToSeconds(memory.shown_at)), absl::StrCat(decision.level.shards)});
}

// Reasons that hold go on since when they began.
std::vector<ReasonSince> Since(const std::vector<Pressure>& active,
                               const std::vector<ReasonSince>& before, absl::Time now) {
  std::vector<ReasonSince> since;
  for (const Pressure& one : active) {
    const auto known = std::find_if(before.begin(), before.end(), [&](const ReasonSince& reason) {
      return reason.key == one.key;
    });
    since.push_back({.key = one.key, .since = known == before.end() ? now : known->since});
  }
  return since;
}

// What is told as an event when it changes; values are not.
std::string SignatureOf(const PaceDecision& decision, const std::string& said) {
  std::vector<std::string> keys = {said};
  for (const Pressure& one : decision.active) keys.push_back(one.key);
  keys.push_back(decision.level_text);
  return absl::StrJoin(keys, "\n");
}

// `said`: what others than the controller have to say.
absl::Status Show(RunEditor& run, const PaceDecision& decision, const std::string& said,
                  absl::Time now, Remembered& memory) {
  std::string text = ThrottleText(decision, memory.since, now);
  if (!said.empty()) text = absl::StrCat(said, text.empty() ? "" : "; ", text);
  std::string signature = SignatureOf(decision, said);
  if (signature != memory.signature) {
    memory.signature = std::move(signature);
    memory.shown_at = now;
    return run.SetThrottledReason(text);
  }
  if (text == run.throttled_reason || now - memory.shown_at < kShowEvery) return absl::OkStatus();
  memory.shown_at = now;
  run.throttled_reason = text;
  run.NextRevision();
  return absl::OkStatus();
}

// What the run's priority leaves it of the target beside other runs.
absl::StatusOr<int> ShareOf(Transaction& tx, const RunEditor& run, int shards) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result others,
                          tx.Query(sql::kSharesOfTarget, {run.target, run.id}));
  if (others.rows.empty()) return shards;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result own, tx.Query(sql::kPriority, {run.id}));
  // In the order of their ids, so that each comes to the same shares.
  std::vector<TargetShare> shares;
  size_t at = 0;
  for (size_t row = 0; row < others.rows.size(); ++row) {
    if (others.Text(row, 0) < run.id) ++at;
    shares.push_back({.allowed = static_cast<int>(others.Int(row, 1)),
                      .priority = static_cast<int>(others.Int(row, 2))});
  }
  shares.insert(shares.begin() + static_cast<std::ptrdiff_t>(at),
                {.allowed = shards, .priority = static_cast<int>(own.Int(0, 0))});
  return ShareTarget(shares)[at];
}

// The one of its kind; null when it is not measured.
const SignalSample* Measured(const SignalBoard& board, SignalKind kind) {
  const auto found =
      std::find_if(board.samples.begin(), board.samples.end(), [kind](const SignalSample& sample) {
        return sample.kind == kind && sample.not_measured.empty();
      });
  return found == board.samples.end() ? nullptr : &*found;
}

// The rate of the latest second, and what limits.wal_bytes_per_second makes of it.
absl::Status UpdateRateOf(Transaction& tx, RunEditor& run, const pg::Result& facts,
                          const SignalBoard& board, int64_t wal_limit) {
  double elapsed = -1, rate = 0;
  if (!absl::SimpleAtod(facts.Text(0, 7), &elapsed) || !absl::SimpleAtod(facts.Text(0, 5), &rate))
    return absl::OkStatus();
  const int64_t rows = facts.Int(0, 4);
  const auto wal_rows = [&](double before, double rows_per_second) -> std::string {
    if (wal_limit <= 0) return "0";
    WalFacts wal{.limit = wal_limit, .rows_per_second = rows_per_second};
    if (const SignalSample* measured = Measured(board, SignalKind::kWalRate))
      wal.measured = measured->value;
    return absl::StrCat(WalRowsPerSecond(before, wal));
  };
  if (elapsed < 0)
    return tx.Run(sql::kUpdateRate, {run.id, "0", absl::StrCat(rows), wal_rows(0, 0)});
  if (elapsed < 1) return absl::OkStatus();
  const RateEstimate estimate =
      UpdateRate({.rows_per_second = rate, .rows = facts.Int(0, 6)}, rows, absl::Seconds(elapsed));
  if (std::abs(estimate.rows_per_second - rate) >= 0.5) run.NextRevision();  // watchers see it move
  return tx.Run(sql::kUpdateRate,
                {run.id, absl::StrCat(estimate.rows_per_second), absl::StrCat(rows),
                 wal_rows(Number(facts.rows[0][10]), estimate.rows_per_second)});
}

// Told once it holds the run back.
void AddWalLimit(const SignalBoard& board, int64_t limit, double rows_per_second,
                 PaceDecision& decision) {
  const SignalSample* wal = Measured(board, SignalKind::kWalRate);
  if (limit <= 0 || rows_per_second <= 0 || wal == nullptr) return;
  const double ratio = wal->value / static_cast<double>(limit);
  if (ratio < kWalNearLimit) return;
  decision.active.push_back(
      {.key = "wal_bytes_per_second",
       .text = absl::StrCat(
           SignalText(*wal, {.named = {{wal->kind, static_cast<double>(limit)}}}, false),
           absl::StrFormat(": %.0f rows/s", rows_per_second)),
       .ratio = ratio});
}

SignalLimits LimitsOf(const Definition& definition) {
  SignalLimits limits{.named = definition.on_pressure.limits};
  if (definition.on_pressure.check) limits.check_sql = definition.on_pressure.check->sql;
  return limits;
}

}  // namespace

absl::Time FromSeconds(double seconds) {
  return seconds == 0 ? absl::InfinitePast() : absl::UnixEpoch() + absl::Seconds(seconds);
}

double ToSeconds(absl::Time time) {
  return time == absl::InfinitePast() ? 0 : absl::ToDoubleSeconds(time - absl::UnixEpoch());
}

absl::Status UpdatePace(Transaction& tx, RunEditor& run) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result facts, tx.Query(sql::kPaceFacts, {run.id}));
  const std::string worker_waits = facts.Text(0, 2);
  const bool waits_in_tasks =
      run.state == RunState::kPlanning || run.state == RunState::kFinalizing;
  if (waits_in_tasks && !run.reconcile_due) {
    DUNLIN_RETURN_IF_ERROR(run.SetReason(facts.Text(0, 3)));
  }
  if (run.state != RunState::kRunning) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const TargetView view, ReadTargetView(tx, run.target));
  DUNLIN_ASSIGN_OR_RETURN(Remembered memory, Recall(tx, run.id));
  DUNLIN_ASSIGN_OR_RETURN(const Definition* definition, run.definition());
  const SignalSample* others = Measured(view.board, SignalKind::kOpenTransactions);
  const PaceFacts pace{.limits = {.shards = run.concurrency_limit,
                                  .batch_time = absl::Milliseconds(run.batch_time_ms)},
                       .pressures = EvaluateSignals(
                           view.board, {.run_id = run.id,
                                        .tables = TablesOf(*definition),
                                        .limits = LimitsOf(*definition),
                                        .alone = view.alone,
                                        .level_age = view.now - memory.state.changed_at,
                                        .workers_backing_off = static_cast<int>(facts.Int(0, 1)),
                                        .working_for = absl::Seconds(Number(facts.rows[0][8]))}),
                       .alone = view.alone,
                       .others = others == nullptr ? 0 : others->baseline,
                       .slots_busy = facts.Int(0, 9) >= run.concurrency_allowed,
                       .now = view.now};
  const WindowState window = WindowsAt(definition->windows, view.now);
  PaceDecision decision =
      window.open
          ? DecidePace(pace, memory.state)
          : Closed(pace.limits, absl::StrCat("outside its windows: ", OpensText(window, view.now)));
  const int64_t wal_limit = definition->limits.wal_bytes_per_second;
  AddWalLimit(view.board, wal_limit, Number(facts.rows[0][10]), decision);
  DUNLIN_ASSIGN_OR_RETURN(const int share, ShareOf(tx, run, decision.level.shards));
  run.concurrency_changed = run.concurrency_changed || share != run.concurrency_allowed;
  run.concurrency_allowed = share;
  run.pressure_seen = decision.state.pressure_seen;
  memory.since = Since(decision.active, memory.since, view.now);
  DUNLIN_ASSIGN_OR_RETURN(std::string said, ThrottledBy(tx, run));
  if (share < decision.level.shards) {
    absl::StrAppend(&said, said.empty() ? "" : "; ", "shares the target with other runs: ", share,
                    " of ", decision.level.shards, " shards at once");
  }
  if (!worker_waits.empty()) said = absl::StrCat(worker_waits, said.empty() ? "" : "; ", said);
  DUNLIN_RETURN_IF_ERROR(Show(run, decision, said, view.now, memory));
  DUNLIN_RETURN_IF_ERROR(Remember(tx, run.id, decision, memory));
  return UpdateRateOf(tx, run, facts, view.board, wal_limit);
}

namespace {

void SetSince(const std::vector<ReasonSince>& reasons, const std::string& key,
              pb::Run::Signal* out) {
  for (const ReasonSince& reason : reasons) {
    if (reason.key == key)
      out->mutable_since_time()->set_seconds(absl::ToUnixSeconds(reason.since));
  }
}

}  // namespace

absl::Status AddSignals(Transaction& tx, pb::Run* run, const Definition& definition) {
  if (run->state() != pb::Run::STATE_RUNNING) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const TargetView view, ReadTargetView(tx, run->target()));
  DUNLIN_ASSIGN_OR_RETURN(const Remembered memory, Recall(tx, run->run_id()));
  SignalLimits limits = LimitsOf(definition);
  if (definition.limits.wal_bytes_per_second > 0)
    limits.named[SignalKind::kWalRate] =
        static_cast<double>(definition.limits.wal_bytes_per_second);
  const std::set<std::string> tables = TablesOf(definition);
  for (const SignalSample& sample : view.board.samples) {
    if (sample.kind == SignalKind::kCheck && sample.subject != run->run_id()) continue;
    if (sample.kind == SignalKind::kDeadRows && !tables.contains(sample.subject)) continue;
    pb::Run::Signal* out = run->add_signals();
    out->set_signal(InfoOf(sample.kind).name);
    out->set_subject(sample.kind == SignalKind::kCheck ? "" : sample.subject);
    out->set_text(SignalText(sample, limits, view.alone));
    out->set_measured(sample.not_measured.empty());
    const double limit = SignalLimitOf(sample, limits, view.alone);
    if (out->measured() && std::isfinite(limit)) out->set_pressure(SignalRatio(sample, limit));
    SetSince(memory.since, absl::StrCat(InfoOf(sample.kind).name, "/", sample.subject), out);
  }
  std::stable_sort(run->mutable_signals()->begin(), run->mutable_signals()->end(),
                   [](const pb::Run::Signal& a, const pb::Run::Signal& b) {
                     return std::pair(!a.measured(), -a.pressure()) <
                            std::pair(!b.measured(), -b.pressure());
                   });
  return absl::OkStatus();
}

}  // namespace dunlin::coordinator
