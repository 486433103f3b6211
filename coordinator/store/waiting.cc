// What a PENDING run waits for.
#include <algorithm>

#include "absl/strings/str_cat.h"

#include "common/status_macros.h"
#include "common/status_util.h"
#include "coordinator/store/pace_internal.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {
namespace {

bool PassesByItself(const std::string& state) {
  return state != "PAUSED" && state != "FAILED" && state != "CANCELLED";
}

// `state` and `kind`: of the run that is waited for; `read_again`: its target has failed over.
RunWait WaitFor(const std::string& name, const std::string& state, const std::string& kind,
                bool read_again) {
  if (kind == "undo") {
    return {.sentence = absl::StrCat("waits for ", name, ", which ",
                                     state == "FINISHED" ? "was undone" : "is being undone",
                                     "; to run it again: dunlin redo ", name,
                                     "; or give what replaces it `supersedes: ", name, "`"),
            .needs_person = true};
  }
  if (state == "FINISHED" && read_again) {
    return {.sentence = absl::StrCat("waits for ", name,
                                     ", which was FINISHED before its target failed over; its "
                                     "record there is read again")};
  }
  if (PassesByItself(state))
    return {.sentence = absl::StrCat("waits for ", name, ", which is ", state)};
  return {.sentence = absl::StrCat("waits for ", name, ", which is ", state,
                                   "; when that is mended: dunlin resume ", name),
          .needs_person = true};
}

absl::StatusOr<RunWait> WaitForDependencies(Transaction& tx, const std::string& target,
                                            const Definition& definition) {
  for (const std::string& dependency : definition.depends_on) {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, tx.Query(sql::kStandIn, {dependency, target}));
    if (found.rows.empty() || found.IsNull(0, 0)) {
      return RunWait{.sentence =
                         absl::StrCat("waits for ", dependency, ", which was never started on ",
                                      target, "; start it: dunlin up")};
    }
    if (found.Text(0, 2) != "FINISHED" || found.Text(0, 3) == "undo" || found.Bool(0, 4))
      return WaitFor(found.Text(0, 1), found.Text(0, 2), found.Text(0, 3), found.Bool(0, 4));
  }
  return RunWait();
}

}  // namespace

absl::StatusOr<RunWait> WhatRunWaitsFor(Transaction& tx, const std::string& run_id,
                                        const std::string& target, const Definition& definition) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result facts, tx.Query(sql::kWaitFacts, {run_id}));
  if (facts.Bool(0, 0)) {
    return RunWait{
        .sentence = absl::StrCat("is critical: waits for the approval of another operator than ",
                                 facts.Text(0, 1), "; they run: dunlin approve ", facts.Text(0, 2)),
        .needs_person = true};
  }
  if (!facts.IsNull(0, 3)) {
    return RunWait{.sentence = absl::StrCat("begins at ", facts.Text(0, 3), ", as asked (--at)")};
  }
  // A plan waits for old transactions and reads the whole index: it keeps to the windows, too.
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result now, tx.Query(sql::kNowSeconds));
  const absl::Time moment = FromSeconds(Number(now.rows[0][0]));
  if (const WindowState state = WindowsAt(definition.windows, moment); !state.open) {
    return RunWait{.sentence = absl::StrCat("outside its windows: ", OpensText(state, moment))};
  }
  RunWait wait;
  if (definition.has_depends_on) {
    DUNLIN_ASSIGN_OR_RETURN(wait, WaitForDependencies(tx, target, definition));
  } else {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result earlier, tx.Query(sql::kEarlierUnfinished, {run_id}));
    if (!earlier.rows.empty()) {
      wait =
          WaitFor(earlier.Text(0, 0), earlier.Text(0, 1), earlier.Text(0, 2), earlier.Bool(0, 3));
      absl::StrAppend(
          &wait.sentence,
          " (runs begin in version order; `depends_on: []` in the file says otherwise)");
    }
  }
  if (!wait.sentence.empty()) return wait;
  return WaitForAgent(tx, target);
}

absl::StatusOr<RunWait> WaitForAgent(Transaction& tx, const std::string& target) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result agents, tx.Query(sql::kAgentsOfTarget, {target}));
  if (agents.Int(0, 0) > 0) return RunWait();
  return RunWait{.sentence = absl::StrCat("no agent for target ", target, " is connected; ",
                                          StartAnAgent(target))};
}

absl::Status RequireAgent(Transaction& tx, const std::string& target) {
  DUNLIN_ASSIGN_OR_RETURN(const RunWait wait, WaitForAgent(tx, target));
  if (wait.sentence.empty()) return absl::OkStatus();
  return WithReason(absl::FailedPreconditionError(wait.sentence), "NO_AGENT");
}

std::string StartAnAgent(const std::string& target) {
  return absl::StrCat("start one: dunlin-agent --coordinator HOST:PORT --target ", target, "=DSN");
}

}  // namespace dunlin::coordinator
