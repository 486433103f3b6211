// Whether others may rely on a migration.
#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/migration/name.h"
#include "common/migration/parser.h"
#include "common/status_macros.h"
#include "coordinator/logic/gate_policy.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

constexpr absl::Duration kConfirmedWithin = absl::Minutes(5);

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::Time TimeOf(const pg::Value& seconds) {
  double number = 0;
  if (!seconds || !absl::SimpleAtod(*seconds, &number)) return absl::InfinitePast();
  return absl::FromUnixMicros(static_cast<int64_t>(number * 1e6));
}

pb::GateResult::Verdict ToProto(GateDecision::Verdict verdict) {
  switch (verdict) {
    case GateDecision::Verdict::kOpen:
      return pb::GateResult::VERDICT_OPEN;
    case GateDecision::Verdict::kWait:
      return pb::GateResult::VERDICT_WAIT;
    case GateDecision::Verdict::kNeedsPerson:
      return pb::GateResult::VERDICT_NEEDS_PERSON;
  }
  return pb::GateResult::VERDICT_UNSPECIFIED;
}

void FillRunFacts(const pb::Run& run, GateFacts& facts) {
  facts.state = RunStateFromText(pb::Run::State_Name(run.state()).substr(strlen("STATE_")));
  facts.reason = !run.error().empty()    ? run.error()
                 : !run.reason().empty() ? run.reason()
                                         : run.throttled_reason();
  facts.digest = run.digest();
  facts.undo = run.kind() == pb::Run::KIND_UNDO;
  facts.only_set_aside =
      run.rows_quarantined() > run.rows_accepted() && run.shards().done() == run.shards().total();
  if (run.rows_total() > 0) {
    // 100 % is said when it is done.
    facts.percent_done =
        static_cast<int>(std::min(99.0, 100.0 * static_cast<double>(run.rows_done()) /
                                            static_cast<double>(run.rows_total())));
  }
}

// In local mode the ledger is at hand.
absl::Status ReadLocalLedger(Transaction& tx, const std::string& run_id, GateFacts& facts) {
  facts.confirmed_at = facts.now;
  facts.confirmed = "missing";
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result there, tx.Query(sql::kLocalLedger));
  if (!there.Bool(0, 0)) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result outcome, tx.Query(sql::kLocalOutcome, {run_id}));
  if (outcome.rows.empty()) return absl::OkStatus();
  facts.confirmed = outcome.Text(0, 0);
  facts.finished_at = TimeOf(outcome.rows[0][1]);
  return absl::OkStatus();
}

}  // namespace

absl::Status Store::CheckGateOnTarget(Transaction& tx, const pb::CheckGateRequest& request,
                                      const std::string& name, const std::string& target,
                                      bool several, pb::GateResult* result) {
  GateFacts facts{.migration = name,
                  .target = target,
                  .several_targets = several,
                  .local = options_.local,
                  .confirmed_within = request.has_confirmed_within_duration()
                                          ? FromProto(request.confirmed_within_duration())
                                          : kConfirmedWithin};
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kStandIn, {name, target}));
  if (!found.rows.empty()) {
    const std::string id = found.Text(0, 0);
    if (found.Text(0, 1) != name)
      facts.stands_in_for = std::exchange(facts.migration, found.Text(0, 1));
    pb::Run* run = result->mutable_run();
    DUNLIN_RETURN_IF_ERROR(ReadRunInto(tx, id, run));
    FillRunFacts(*run, facts);
    if (facts.stands_in_for.empty() && !request.definition().empty())
      facts.file_digest = DigestOf(request.definition());
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result row, tx.Query(sql::kGateFacts, {id}));
    facts.confirmed = row.Text(0, 0);
    facts.confirmed_at = TimeOf(row.rows[0][1]);
    facts.finished_at = TimeOf(row.rows[0][2]);
    facts.now = TimeOf(row.rows[0][3]);
    facts.agent_connected = row.Bool(0, 4);
    facts.reconcile_due = row.Bool(0, 6);
    DUNLIN_ASSIGN_OR_RETURN(
        const Definition definition,
        ParseMigrationOrError(run->migration(), absl::HexStringToBytes(row.Text(0, 5))));
    facts.soak = request.soak_from_file() ? definition.soak : FromProto(request.soak_duration());
    if (facts.state == RunState::kPending) {
      DUNLIN_ASSIGN_OR_RETURN(const RunWait wait, WhatRunWaitsFor(tx, id, target, definition));
      facts.needs_person = wait.needs_person;
    }
    if (options_.local && facts.state == RunState::kFinished)
      DUNLIN_RETURN_IF_ERROR(ReadLocalLedger(tx, id, facts));
  }
  const GateDecision decision = DecideGate(facts);
  if (decision.ask_target) {
    agent_pb::TargetTask question;
    question.mutable_confirm_runs();
    DUNLIN_RETURN_IF_ERROR(AskTarget(tx, target, "confirm_runs", question));
  }
  result->set_target(target);
  result->set_verdict(ToProto(decision.verdict));
  result->set_message(decision.message);
  result->set_confirming(decision.confirming);
  if (decision.soak_end > absl::UnixEpoch())
    result->mutable_soak_end_time()->set_seconds(absl::ToUnixSeconds(decision.soak_end));
  return absl::OkStatus();
}

absl::StatusOr<pb::CheckGateResponse> Store::CheckGate(const pb::CheckGateRequest& request) {
  std::optional<Definition> definition;
  if (!request.definition().empty()) {
    DUNLIN_ASSIGN_OR_RETURN(
        definition, ParseMigrationOrError(request.migration() + ".yaml", request.definition()));
  }
  pb::CheckGateResponse response;
  DUNLIN_RETURN_IF_ERROR(InTransaction([&](Transaction& tx) -> absl::Status {
    response.Clear();
    std::string name = request.migration();
    std::set<std::string> targets;
    std::optional<Definition> known = definition;
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result runs, tx.Query(sql::kRunsOfName, {name}));
    for (size_t row = 0; row < runs.rows.size(); ++row) {
      targets.insert(runs.Text(row, 0));
      name = runs.Text(row, 1);  // a version became a name
      auto parsed = ParseMigrationOrError(name, absl::HexStringToBytes(runs.Text(row, 2)));
      if (!known && parsed.ok()) known = *std::move(parsed);
    }
    if (known) {
      const auto expected = TargetsOf(tx, *known);
      if (expected.ok()) targets.insert(expected->begin(), expected->end());
      // Where it ran is known; a file that nobody can place was started nowhere.
      if (!expected.ok() && !absl::IsFailedPrecondition(expected.status()))
        return expected.status();
    }
    if (targets.empty()) targets.insert("");
    for (const std::string& target : targets) {
      DUNLIN_RETURN_IF_ERROR(
          CheckGateOnTarget(tx, request, name, target, targets.size() > 1, response.add_results()));
    }
    return absl::OkStatus();
  }));
  return response;
}

}  // namespace dunlin::coordinator
