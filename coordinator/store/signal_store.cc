// What agents measure on targets: who has the duty, and what is known.
#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "common/status_macros.h"
#include "coordinator/store/definition_cache.h"
#include "coordinator/store/pace_internal.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

// Ten agents that die in a row are no reason to be blind for long, one late heartbeat none to
// change.
constexpr int kHeartbeatsOfDuty = 5;
constexpr absl::Duration kShortestDuty = absl::Seconds(2);
// One that has just been given the duty has measured nothing yet.
constexpr absl::Duration kFirstReportAfter = absl::Seconds(2);
constexpr absl::Duration kAloneAfter = absl::Seconds(3);

SignalSample FromProto(const agent_pb::SignalSample& sample, SignalKind kind) {
  return {.kind = kind,
          .subject = sample.subject(),
          .value = sample.value(),
          .baseline = sample.baseline(),
          .typical = sample.typical(),
          .not_measured = sample.not_measured(),
          .lost = sample.lost()};
}

std::vector<SignalSample> SamplesOf(const agent_pb::TargetSignals& board) {
  std::vector<SignalSample> samples;
  for (const agent_pb::SignalSample& sample : board.samples()) {
    // Of a newer agent: it is not known here what it means.
    const auto kind = SignalFromName(sample.signal());
    if (kind) samples.push_back(FromProto(sample, *kind));
  }
  return samples;
}

bool ParseBoard(const pg::Value& hex, agent_pb::TargetSignals& board) {
  return hex && board.ParseFromString(absl::HexStringToBytes(*hex));
}

void FillDutyRun(const pg::Result& runs, size_t row, agent_pb::SignalDuty* duty) {
  const std::string definition_bytes = absl::HexStringToBytes(runs.Text(row, 3));
  const auto parsed = ParsedBefore(runs.Text(row, 1) + ".yaml", definition_bytes);
  if (!parsed.ok()) return;  // no run could have begun with it
  const Definition& definition = **parsed;
  agent_pb::SignalDuty::Run* out = duty->add_runs();
  agent_pb::RunSpec* spec = out->mutable_run();
  spec->set_run_id(runs.Text(row, 0));
  spec->set_migration(runs.Text(row, 1));
  spec->set_target(duty->target());
  spec->set_digest(runs.Text(row, 2));
  if (definition.on_pressure.check) spec->set_definition(definition_bytes);
  out->set_throttled_reason(runs.Text(row, 4));
  for (const std::string& table : TablesOf(definition)) out->add_table(table);
}

}  // namespace

std::set<std::string> TablesOf(const Definition& definition) {
  std::set<std::string> tables;
  for (const StepDefinition& step : definition.steps) {
    if (!step.table.empty()) tables.insert(step.table);
  }
  return tables;
}

absl::Status TakeSignals(Transaction& tx, const std::string& agent,
                         const agent_pb::TargetSignals& signals) {
  if (signals.samples().empty()) {
    // What an agent sees in passing is used until somebody has the duty to look.
    return tx.Run(sql::kSignal, {signals.target(), absl::StrCat(signals.foreign_transactions())});
  }
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result known,
                          tx.Query(sql::kLockSignals, {signals.target(), agent}));
  if (known.rows.empty()) return absl::OkStatus();  // the duty is another's by now
  agent_pb::TargetSignals before, board = signals;
  std::vector<SignalSample> samples = SamplesOf(signals);
  if (ParseBoard(known.rows[0][0], before) && known.Bool(0, 1))
    MarkLost(SamplesOf(before), samples);
  for (agent_pb::SignalSample& sample : *board.mutable_samples()) {
    const auto kind = SignalFromName(sample.signal());
    sample.set_lost(kind && std::any_of(samples.begin(), samples.end(), [&](const auto& one) {
                      return one.kind == *kind && one.subject == sample.subject() && one.lost;
                    }));
  }
  return tx.Run(sql::kSaveSignals,
                {signals.target(), absl::BytesToHexString(board.SerializeAsString()),
                 absl::StrCat(signals.alone_duration().seconds())});
}

absl::Status GrantSignalDuties(Transaction& tx, const std::string& agent,
                               const std::vector<std::string>& targets,
                               absl::Duration heartbeat_interval,
                               agent_pb::HeartbeatResponse& response) {
  std::vector<std::string> sorted = targets;
  std::sort(sorted.begin(), sorted.end());  // the order in which their rows are locked
  const absl::Duration duty = std::max(kShortestDuty, heartbeat_interval * kHeartbeatsOfDuty);
  for (const std::string& target : sorted) {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result elected,
                            tx.Query(sql::kElectMeasurer, {target, agent, DurationText(duty)}));
    if (elected.rows.empty()) continue;
    agent_pb::SignalDuty* out = response.add_signal_duties();
    out->set_target(target);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result runs, tx.Query(sql::kRunsToMeasure, {target}));
    for (size_t row = 0; row < runs.rows.size(); ++row) FillDutyRun(runs, row, out);
  }
  return absl::OkStatus();
}

absl::StatusOr<TargetView> ReadTargetView(Transaction& tx, const std::string& target) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kReadSignals, {target}));
  TargetView view;
  const double passing = Number(found.rows[0][5]);
  view.alone = passing == 0;
  view.now = FromSeconds(Number(found.rows[0][4]));
  if (found.IsNull(0, 0)) return view;  // nobody has measured there yet
  agent_pb::TargetSignals board;
  if (!ParseBoard(found.rows[0][0], board)) return view;
  const absl::Duration age = absl::Seconds(Number(found.rows[0][1]));
  view.board.samples = SamplesOf(board);
  const bool on_duty =
      found.Bool(0, 2) && Number(found.rows[0][3]) > absl::ToDoubleSeconds(kFirstReportAfter);
  view.board.age = on_duty ? age : absl::ZeroDuration();
  view.deadlock_timeout = absl::Milliseconds(board.deadlock_timeout_ms());
  view.alone = board.alone_duration().seconds() >= absl::ToInt64Seconds(kAloneAfter);
  return view;
}

}  // namespace dunlin::coordinator
