// One heartbeat: checkpoints up, directives down.
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"

#include "common/fault.h"
#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/logic/pace.h"
#include "coordinator/store/pace_internal.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

struct HeldLease {
  std::string run;
  bool is_shard = false;
  int64_t seq = 0;
  std::string waiting;
};

// What the store knows of the leases that the agent says it holds.
absl::StatusOr<std::map<std::string, HeldLease>> ReadHeld(Transaction& tx, const std::string& ids,
                                                          const std::string& agent) {
  std::map<std::string, HeldLease> held;
  const bool by_arrival = DUNLIN_MUTANT("checkpoint_by_arrival");
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result shards, tx.Query(sql::kShardsOfLeases, {ids, agent}));
  for (size_t row = 0; row < shards.rows.size(); ++row) {
    held[shards.Text(row, 0)] = {.run = shards.Text(row, 1),
                                 .is_shard = true,
                                 .seq = by_arrival ? -1 : shards.Int(row, 2),
                                 .waiting = shards.Text(row, 3)};
  }
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result tasks, tx.Query(sql::kTasksOfLeases, {ids, agent}));
  for (size_t row = 0; row < tasks.rows.size(); ++row) {
    held[tasks.Text(row, 0)] = {.run = tasks.Text(row, 1), .waiting = tasks.Text(row, 2)};
  }
  return held;
}

absl::Status RecordReport(Transaction& tx, RunEditor& run, const agent_pb::LeaseReport& report,
                          const HeldLease& held) {
  if (!held.is_shard) {
    if (held.waiting == report.waiting_reason()) return absl::OkStatus();
    return tx.Run(sql::kTaskWaiting, {report.lease_id(), report.waiting_reason()});
  }
  const bool moved = report.has_checkpoint() && report.checkpoint().seq() > held.seq;
  if (!moved && held.waiting == report.waiting_reason()) return absl::OkStatus();
  if (DUNLIN_MUTANT("checkpoint_by_arrival")) {
    DUNLIN_RETURN_IF_ERROR(
        tx.Run({"", "UPDATE dunlin_store.shard SET seq = -1 WHERE lease_id::text = $1"},
               {report.lease_id()}));
  }
  const agent_pb::Checkpoint& at = report.checkpoint();
  return tx.Run(sql::kCheckpoint,
                {report.lease_id(), KeyToArray(at.has_cursor(), at.cursor()),
                 absl::StrCat(moved ? at.seq() : held.seq), absl::StrCat(at.rows_done()),
                 absl::StrCat(at.rows_changed()), absl::StrCat(report.rows_left()),
                 report.waiting_reason(), absl::StrCat(run.NextRevision())});
}

// The leases to split when agents are idle and no shard is left for them: one for each slot that
// waits, and that no split under way will fill.
absl::StatusOr<std::vector<std::string>> ChooseSplits(Transaction& tx, const RunEditor& run) {
  std::vector<std::string> chosen;
  if (run.state != RunState::kRunning || run.reconcile_due) return chosen;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result counted,
                          tx.Query(sql::kLeasesInWork, {run.id, absl::StrCat(run.step)}));
  const int64_t leased = counted.Int(0, 0);
  const int64_t idle = run.concurrency_allowed - std::max(leased, counted.Int(0, 1));
  if (leased == 0 || idle <= 0) return chosen;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result hungry, tx.Query(sql::kHungryAgents, {run.target}));
  if (hungry.Int(0, 0) == 0) return chosen;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result facts, tx.Query(sql::kPaceFacts, {run.id}));
  double rate = 0;
  if (!absl::SimpleAtod(facts.Text(0, 5), &rate)) return chosen;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result candidates,
                          tx.Query(sql::kSplitCandidates, {run.id, absl::StrCat(run.step)}));
  for (size_t row = 0; row < candidates.rows.size(); ++row) {
    const int64_t under_way = candidates.Int(row, 2);
    if (std::ssize(chosen) + under_way >= idle ||
        !WorthSplitting(candidates.Int(row, 1), rate / static_cast<double>(leased)))
      break;
    chosen.push_back(candidates.Text(row, 0));
  }
  return chosen;
}

// Leases beyond what may be in work at present: the youngest go back (pressure, a lower limit).
absl::Status FindTooMany(Transaction& tx, const RunEditor& run, std::set<std::string>& too_many) {
  if (run.state != RunState::kRunning) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                          tx.Query(sql::kLeasesTooMany, {run.id, absl::StrCat(run.step),
                                                         absl::StrCat(run.concurrency_allowed)}));
  for (size_t row = 0; row < found.rows.size(); ++row) too_many.insert(found.Text(row, 0));
  return absl::OkStatus();
}

agent_pb::LeaseDirective::Action ActionFor(const RunEditor& run, const HeldLease& held,
                                           bool too_many) {
  if (DUNLIN_MUTANT("pause_stops_nothing")) return agent_pb::LeaseDirective::ACTION_RENEW;
  if (too_many) return agent_pb::LeaseDirective::ACTION_STOP;
  const bool may_go_on = held.is_shard ? run.state == RunState::kRunning : run.MayHoldLeases();
  return may_go_on ? agent_pb::LeaseDirective::ACTION_RENEW : agent_pb::LeaseDirective::ACTION_STOP;
}

// Whether there is something new to pace its runs by; else the next sweep is soon enough.
bool Measures(const agent_pb::HeartbeatRequest& request, const std::string& target) {
  return std::any_of(request.signals().begin(), request.signals().end(),
                     [&](const agent_pb::TargetSignals& signals) {
                       return signals.target() == target && !signals.samples().empty();
                     });
}

// Before the runs are looked at, which are paced by it; and before they are locked, as everywhere.
absl::Status MeasureTargets(Transaction& tx, const agent_pb::HeartbeatRequest& request,
                            absl::Duration heartbeat_interval,
                            agent_pb::HeartbeatResponse& response) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result known, tx.Query(sql::kKnownAgent, {request.agent_id()}));
  if (known.rows.empty()) return absl::OkStatus();  // it is told so later
  std::vector<std::string> reached;
  for (const agent_pb::TargetIdentity& seen : request.targets()) {
    if (!seen.system_identifier().empty()) reached.push_back(seen.target());
  }
  for (const agent_pb::TargetSignals& signals : request.signals())
    DUNLIN_RETURN_IF_ERROR(TakeSignals(tx, request.agent_id(), signals));
  return GrantSignalDuties(tx, request.agent_id(), reached, heartbeat_interval, response);
}

}  // namespace

absl::StatusOr<agent_pb::HeartbeatResponse> Store::Heartbeat(
    const agent_pb::HeartbeatRequest& request) {
  std::vector<std::string> ids;
  for (const agent_pb::LeaseReport& report : request.leases()) ids.push_back(report.lease_id());
  const std::string id_array = pg::EncodeTextArray(ids);
  const std::string pending = pg::EncodeTextArray(
      {request.pending_request_ids().begin(), request.pending_request_ids().end()});
  agent_pb::HeartbeatResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction([&](Transaction& tx) -> absl::Status {
    response.Clear();
    DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> reachable,
                            ReachableTargets(tx, request.targets()));
    if (DUNLIN_MUTANT("lease_by_agent_clock")) {
      DUNLIN_RETURN_IF_ERROR(tx.Run(
          {"",
           "UPDATE dunlin_store.shard SET expires_at = clock_timestamp() + interval '1 minute' "
           "WHERE lease_id::text = ANY ($1::text[])"},
          {id_array}));
    }
    DUNLIN_RETURN_IF_ERROR(MeasureTargets(tx, request, heartbeat_interval(), response));
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result runs_of,
                            tx.Query(sql::kRunsOfLeases, {id_array, request.agent_id()}));
    std::map<std::string, RunEditor> runs;
    for (size_t row = 0; row < runs_of.rows.size(); ++row) {
      DUNLIN_ASSIGN_OR_RETURN(RunEditor run, RunEditor::Lock(tx, runs_of.Text(row, 0)));
      runs.emplace(run.id, std::move(run));
    }
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result touched,
                            tx.Query(sql::kTouchAgent, {request.agent_id()}));
    if (touched.rows_affected == 0) {
      return WithReason(absl::NotFoundError("this agent is not registered with this store"),
                        "AGENT_UNKNOWN");
    }
    DUNLIN_ASSIGN_OR_RETURN(auto held, ReadHeld(tx, id_array, request.agent_id()));
    for (const agent_pb::LeaseReport& report : request.leases()) {
      const auto it = held.find(report.lease_id());
      if (it == held.end() || !runs.contains(it->second.run)) continue;
      DUNLIN_RETURN_IF_ERROR(RecordReport(tx, runs.at(it->second.run), report, it->second));
    }
    // Leases whose grant never reached the agent go back (trap 19).
    DUNLIN_ASSIGN_OR_RETURN(
        const pg::Result unlisted,
        tx.Query(sql::kUnlistedLeases,
                 {request.agent_id(), id_array, pending, DurationText(heartbeat_interval() * 4)}));
    for (size_t row = 0; row < unlisted.rows.size(); ++row) {
      const auto run = runs.find(unlisted.Text(row, 1));
      if (run == runs.end()) continue;
      DUNLIN_RETURN_IF_ERROR(RevokeLeases(tx, run->second, unlisted.Text(row, 0),
                                          "its grant never reached the agent"));
    }
    std::set<std::string> to_split, too_many;
    for (auto& [id, run] : runs) {
      DUNLIN_RETURN_IF_ERROR(CheckCanary(tx, run));
      if (Measures(request, run.target)) DUNLIN_RETURN_IF_ERROR(UpdatePace(tx, run));
      DUNLIN_RETURN_IF_ERROR(FindTooMany(tx, run, too_many));
      DUNLIN_ASSIGN_OR_RETURN(const std::vector<std::string> splits, ChooseSplits(tx, run));
      for (const std::string& lease : splits) {
        if (!held.contains(lease)) continue;
        to_split.insert(lease);
        DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kMarkSplit, {lease}));
      }
    }
    std::set<std::string> renewed;
    for (const pg::Statement* renew : {&sql::kRenewShards, &sql::kRenewTasks}) {
      DUNLIN_ASSIGN_OR_RETURN(const pg::Result result,
                              tx.Query(*renew, {id_array, DurationText(options_.lease_ttl)}));
      for (size_t row = 0; row < result.rows.size(); ++row) renewed.insert(result.Text(row, 0));
    }
    for (const std::string& id : ids) {
      agent_pb::LeaseDirective* directive = response.add_directives();
      directive->set_lease_id(id);
      const auto it = held.find(id);
      if (it == held.end() || !renewed.contains(id)) {
        directive->set_action(agent_pb::LeaseDirective::ACTION_LOST);
        continue;
      }
      const RunEditor& run = runs.at(it->second.run);
      directive->set_action(to_split.contains(id)
                                ? agent_pb::LeaseDirective::ACTION_SPLIT
                                : ActionFor(run, it->second, too_many.contains(id)));
      SetDuration(options_.lease_ttl, directive->mutable_lease_duration());
      DUNLIN_RETURN_IF_ERROR(FillDirectiveLimits(tx, run, directive->mutable_limits()));
    }
    for (auto& [id, run] : runs) {
      DUNLIN_RETURN_IF_ERROR(run.Settle());
      DUNLIN_RETURN_IF_ERROR(run.Save());
    }
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result candidates,
                            tx.Query(sql::kCandidateRuns, {pg::EncodeTextArray(reachable)}));
    response.set_work_available(!candidates.rows.empty());
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result live, tx.Query(sql::kRunsLive, {request.agent_id()}));
    response.set_runs_live(live.Bool(0, 0));
    return GrantTargetTasks(tx, request.agent_id(), reachable, response);
  }));
  return response;
}

}  // namespace dunlin::coordinator
