#include "coordinator/logic/gate_policy.h"

#include "absl/strings/str_cat.h"

#include "common/text/duration.h"

namespace dunlin::coordinator {
namespace {

using Verdict = GateDecision::Verdict;

// A bad word of the target may be mended any moment: it is asked again for each question.
constexpr absl::Duration kBadWordLasts = absl::Seconds(1);

std::string Subject(const GateFacts& facts) {
  return facts.stands_in_for.empty()
             ? facts.migration
             : absl::StrCat(facts.migration, " (which stands in for ", facts.stands_in_for, ")");
}

std::string TimeForPeople(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string Reach(const GateFacts& facts) { return facts.local ? " --database …" : ""; }

// "dunlin resume 20261123120000_x@orders"
std::string Command(const GateFacts& facts, absl::string_view verb) {
  return absl::StrCat("dunlin ", verb, " ", facts.migration,
                      facts.several_targets ? absl::StrCat("@", facts.target) : "", Reach(facts));
}

std::string StartAnAgent(const GateFacts& facts) {
  return absl::StrCat("start one: dunlin-agent --coordinator HOST:PORT --target ", facts.target,
                      "=DSN");
}

GateDecision Answer(Verdict verdict, std::string message) {
  return {.verdict = verdict, .message = std::move(message)};
}

GateDecision WhileUnfinished(const GateFacts& facts) {
  const std::string is =
      absl::StrCat(Subject(facts), " is ", ToText(*facts.state), " on ", facts.target);
  const std::string why = facts.reason.empty() ? "" : absl::StrCat(": ", facts.reason);
  switch (*facts.state) {
    case RunState::kPaused:
    case RunState::kFailed:
    case RunState::kCancelled: {
      const bool to_mend = facts.state == RunState::kFailed || facts.only_set_aside;
      return Answer(
          Verdict::kNeedsPerson,
          absl::StrCat(is, why, to_mend ? ". When that is mended, go on with: " : ". Go on with: ",
                       Command(facts, facts.only_set_aside ? "quarantine retry" : "resume")));
    }
    case RunState::kPending:
      return Answer(facts.needs_person ? Verdict::kNeedsPerson : Verdict::kWait,
                    absl::StrCat(is, why, ". See it: ", Command(facts, "show")));
    default:
      return Answer(Verdict::kWait, absl::StrCat(is, ", ", facts.percent_done, " % done", why,
                                                 ". Watch it: ", Command(facts, "watch")));
  }
}

// The end of it may be lost, and then it is done again.
GateDecision WhileReconciling(const GateFacts& facts) {
  GateDecision decision = Answer(
      Verdict::kWait,
      absl::StrCat(
          Subject(facts), " was FINISHED, but ", facts.target,
          " has failed over since and may have lost its end; ",
          facts.agent_connected
              ? absl::StrCat("its own record is being read now. See it: ", Command(facts, "show"))
              : absl::StrCat("no agent that could look is connected; ", StartAnAgent(facts))));
  decision.confirming = facts.agent_connected;
  return decision;
}

GateDecision WhileUnconfirmed(const GateFacts& facts) {
  GateDecision decision = Answer(Verdict::kWait, "");
  decision.ask_target = true;
  decision.confirming = facts.agent_connected;
  const std::string last = facts.confirmed.empty()
                               ? "has not been asked for its own record yet"
                               : absl::StrCat("was last asked for its own record at ",
                                              TimeForPeople(facts.confirmed_at));
  decision.message =
      absl::StrCat(Subject(facts), " is FINISHED, but ", facts.target, " ", last,
                   facts.agent_connected
                       ? "; it is being asked now. When it does not answer: dunlin agents"
                       : absl::StrCat(", and no agent for it is connected; ", StartAnAgent(facts)));
  return decision;
}

GateDecision ByTheTargetsWord(const GateFacts& facts) {
  if (facts.confirmed == "finished" || facts.confirmed == "baseline") {
    const absl::Time soak_end = facts.finished_at + facts.soak;
    const std::string since = absl::StrCat(Subject(facts), " is finished on ", facts.target,
                                           " since ", TimeForPeople(facts.finished_at));
    if (facts.confirmed == "baseline") {
      return Answer(Verdict::kOpen,
                    absl::StrCat(Subject(facts), " is recorded as done elsewhere on ", facts.target,
                                 " since ", TimeForPeople(facts.finished_at)));
    }
    if (soak_end <= facts.now) return Answer(Verdict::kOpen, since);
    GateDecision decision = Answer(
        Verdict::kWait, absl::StrCat(since, ", but has to soak for ", HumanDuration(facts.soak),
                                     ", ", HumanDuration(soak_end - facts.now), " more, until ",
                                     TimeForPeople(soak_end), "; ask again then"));
    decision.soak_end = soak_end;
    return decision;
  }
  GateDecision decision = Answer(Verdict::kNeedsPerson, "");
  decision.ask_target = true;
  if (facts.confirmed == "undone") {
    decision.message = absl::StrCat(Subject(facts), " was undone on ", facts.target,
                                    ". To run it again: ", Command(facts, "redo"));
  } else {
    decision.message = absl::StrCat(
        Subject(facts), " is FINISHED for the coordinator, but ", facts.target,
        facts.confirmed == "missing" ? " has no record of it" : " says that it is not finished",
        ": was the database restored or replaced? Look, then bring the coordinator in line with "
        "it: dunlin adopt ",
        facts.target, " --reason WHY", Reach(facts));
  }
  return decision;
}

}  // namespace

GateDecision DecideGate(const GateFacts& facts) {
  if (!facts.state) {
    return Answer(
        Verdict::kWait,
        absl::StrCat(Subject(facts), " was never started",
                     facts.target.empty() ? "" : absl::StrCat(" on ", facts.target),
                     ". Start it: dunlin ", facts.local ? "local FILE" : "up", Reach(facts)));
  }
  if (facts.undo) {
    return Answer(
        Verdict::kNeedsPerson,
        *facts.state == RunState::kFinished
            ? absl::StrCat(Subject(facts), " was undone on ", facts.target,
                           ". To run it again: ", Command(facts, "redo"))
            : absl::StrCat(Subject(facts), " is being undone on ", facts.target, " (",
                           ToText(*facts.state), "). See how far: ", Command(facts, "show")));
  }
  if (!facts.file_digest.empty() && facts.file_digest != facts.digest) {
    return Answer(
        Verdict::kNeedsPerson,
        absl::StrCat(Subject(facts), " is ", ToText(*facts.state), " on ", facts.target,
                     " with another content than the file: digest ", facts.digest.substr(0, 12),
                     ", the file has ", facts.file_digest.substr(0, 12),
                     ". Put the file back, or give the change a new name"));
  }
  if (*facts.state != RunState::kFinished) return WhileUnfinished(facts);
  if (facts.reconcile_due) return WhileReconciling(facts);
  const bool good = facts.confirmed == "finished" || facts.confirmed == "baseline";
  const absl::Duration lasts = good ? facts.confirmed_within : kBadWordLasts;
  if (facts.confirmed.empty() || facts.now - facts.confirmed_at > lasts) {
    return WhileUnconfirmed(facts);
  }
  return ByTheTargetsWord(facts);
}

}  // namespace dunlin::coordinator
