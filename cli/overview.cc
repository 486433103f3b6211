#include "cli/overview.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/output.h"
#include <nlohmann/json.hpp>

#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

using nlohmann::json;
using Runs = std::vector<const v1::Run*>;

// More of a kind are counted: what matters has to fit on a screen.
constexpr size_t kMaxShown = 8;

// Nobody has to decide anything about a run that a person has paused, but somebody may.
enum class Kind { kNeedsPerson, kInWork, kWaits, kPausedAsAsked };

Kind KindOf(const v1::Run& run) {
  if (NeedsPerson(run)) return Kind::kNeedsPerson;
  switch (run.state()) {
    case v1::Run::STATE_PENDING:
      return Kind::kWaits;
    case v1::Run::STATE_PAUSED:
      return Kind::kPausedAsAsked;
    default:
      return Kind::kInWork;
  }
}

// NAME, or NAME@TARGET where the name alone would not do.
std::string NameIn(const Overview& overview, const v1::Run& run) {
  const bool several =
      std::any_of(overview.runs.begin(), overview.runs.end(), [&](const v1::Run& other) {
        return other.migration() == run.migration() && other.target() != run.target();
      });
  return several ? absl::StrCat(run.migration(), "@", run.target()) : run.migration();
}

Runs OfKind(const Overview& overview, Kind kind) {
  Runs runs;
  for (const v1::Run& run : overview.runs) {
    if (KindOf(run) == kind) runs.push_back(&run);
  }
  std::sort(runs.begin(), runs.end(), [](const v1::Run* a, const v1::Run* b) {
    return std::pair(a->migration(), a->target()) < std::pair(b->migration(), b->target());
  });
  return runs;
}

// A signal over its limit, as one or more runs of a target see it.
struct Harm {
  std::string target, signal, subject, text;
  double pressure = 0;
  absl::Time since;
};

std::vector<Harm> HarmsOf(const Overview& overview) {
  std::map<std::pair<std::string, std::string>, Harm> found;
  for (const v1::Run& run : overview.runs) {
    for (const v1::Run::Signal& signal : run.signals()) {
      // One that has not held the run back is noise: a core that nobody else wants, for example.
      if (!signal.measured() || signal.pressure() < 1 || !signal.has_since_time()) continue;
      const absl::Time since = TimeOf(signal.since_time());
      // Limits are each run's own; the strictest speaks.
      Harm& harm = found[{run.target(), absl::StrCat(signal.signal(), "/", signal.subject())}];
      const absl::Time first = harm.target.empty() ? since : std::min(harm.since, since);
      if (signal.pressure() > harm.pressure) {
        harm = {.target = run.target(),
                .signal = signal.signal(),
                .subject = signal.subject(),
                .text = signal.text(),
                .pressure = signal.pressure()};
      }
      harm.since = first;
    }
  }
  std::vector<Harm> harms;
  std::transform(found.begin(), found.end(), std::back_inserter(harms),
                 [](const auto& one) { return one.second; });
  std::stable_sort(harms.begin(), harms.end(),
                   [](const Harm& a, const Harm& b) { return a.pressure > b.pressure; });
  return harms;
}

bool Wants(const v1::Run& run) {
  return KindOf(run) == Kind::kInWork || KindOf(run) == Kind::kWaits;
}

// Targets where something is to be done, and nobody to do it.
std::vector<std::string> MissingTargets(const Overview& overview) {
  std::set<std::string> served, missing;
  for (const v1::Agent& agent : overview.agents) {
    if (agent.connected()) served.insert(agent.targets().begin(), agent.targets().end());
  }
  for (const v1::Run& run : overview.runs) {
    if (Wants(run) && !served.contains(run.target())) missing.insert(run.target());
  }
  return {missing.begin(), missing.end()};
}

// Those that were at a target of such runs within the last hour, and are silent.
std::vector<const v1::Agent*> SilentAgents(const Overview& overview) {
  std::set<std::string> wanted;
  for (const v1::Run& run : overview.runs) {
    if (Wants(run)) wanted.insert(run.target());
  }
  std::vector<const v1::Agent*> silent;
  for (const v1::Agent& agent : overview.agents) {
    const bool concerns = std::any_of(agent.targets().begin(), agent.targets().end(),
                                      [&](const auto& target) { return wanted.contains(target); });
    if (!agent.connected() && concerns) silent.push_back(&agent);
  }
  return silent;
}

std::string AgentsLine(const Overview& overview) {
  int64_t agents = 0, slots = 0, used = 0;
  for (const v1::Agent& agent : overview.agents) {
    if (!agent.connected()) continue;
    ++agents;
    slots += agent.slots();
    used += agent.slots_used();
  }
  if (agents == 0) return overview.reach.empty() ? "no agent is connected" : "";
  return absl::StrCat(agents, agents == 1 ? " agent" : " agents", ", ", used, " of ", slots,
                      " slots in use");
}

std::string Verdict(const Overview& overview, const std::map<Kind, Runs>& kinds) {
  static const std::vector<std::pair<Kind, std::pair<std::string, std::string>>> kWords = {
      {Kind::kNeedsPerson, {"run needs a person", "runs need a person"}},
      {Kind::kInWork, {"in work", "in work"}},
      {Kind::kWaits, {"waits", "wait"}},
      {Kind::kPausedAsAsked, {"is paused as asked", "are paused as asked"}}};
  std::vector<std::string> parts;
  for (const auto& [kind, words] : kWords) {
    const size_t count = kinds.at(kind).size();
    if (count > 0)
      parts.push_back(absl::StrCat(count, " ", count == 1 ? words.first : words.second));
  }
  std::string text =
      parts.empty() ? "nothing is running, and nothing needs you" : absl::StrJoin(parts, ", ");
  const size_t harms = HarmsOf(overview).size();
  if (harms > 0)
    absl::StrAppend(&text, "; ", harms, harms == 1 ? " signal is" : " signals are",
                    " over the limit");
  const std::string agents = AgentsLine(overview);
  return absl::StrCat(text, agents.empty() ? "" : "; ", agents);
}

std::string RunLine(const Overview& overview, const v1::Run& run) {
  std::string line =
      absl::StrCat(run.migration(), " on ", run.target(), ": ", StateName(run.state()));
  if (run.has_state_time())
    absl::StrAppend(&line, " ", SinceText(TimeOf(run.state_time()), overview.now));
  if (run.rows_total() > 0)
    absl::StrAppend(&line, absl::StrFormat(", %.1f %% of ", PercentOf(run)),
                    HumanCount(run.rows_total()), " rows");
  if (run.rows_per_second() >= 1)
    absl::StrAppend(&line, ", ", HumanCount(static_cast<int64_t>(run.rows_per_second())),
                    " rows/s");
  if (run.has_eta_seconds())
    absl::StrAppend(&line, ", ETA ", HumanDuration(absl::Seconds(run.eta_seconds())));
  if (run.rows_quarantined() > run.rows_accepted())
    absl::StrAppend(&line, ", ", HumanCount(run.rows_quarantined() - run.rows_accepted()),
                    " rows set aside");
  return line;
}

void PutRuns(const Overview& overview, const Runs& runs, const std::string& heading,
             Page::Tone tone, bool with_command, Page& page) {
  if (runs.empty()) return;
  page.Blank();
  page.Heading(heading, tone);
  for (size_t i = 0; i < std::min(runs.size(), kMaxShown); ++i) {
    const v1::Run& run = *runs[i];
    page.Line(2, RunLine(overview, run));
    if (const std::string reason = WaitReason(run); !reason.empty()) page.Line(4, reason);
    if (with_command) {
      page.Command(
          4, "next: ",
          absl::StrCat("dunlin ", NextCommand(run, NameIn(overview, run)), overview.reach));
    }
  }
  if (runs.size() > kMaxShown)
    page.Line(2,
              absl::StrCat("and ", runs.size() - kMaxShown, " more: dunlin list", overview.reach));
}

void PutHarms(const Overview& overview, Page& page) {
  const std::vector<Harm> harms = HarmsOf(overview);
  if (harms.empty()) return;
  page.Blank();
  page.Heading("OVER THE LIMIT (runs slow down by it, and stop if they must)", Page::Tone::kWarn);
  for (size_t i = 0; i < std::min(harms.size(), kMaxShown); ++i) {
    page.Line(2, absl::StrCat(harms[i].target, ": ", harms[i].text, ", ",
                              SinceText(harms[i].since, overview.now)));
  }
  if (harms.size() > kMaxShown)
    page.Line(
        2, absl::StrCat("and ", harms.size() - kMaxShown, " more: dunlin watch", overview.reach));
}

void PutAgents(const Overview& overview, Page& page) {
  const std::vector<std::string> missing = MissingTargets(overview);
  const std::vector<const v1::Agent*> silent = SilentAgents(overview);
  if (missing.empty() && (silent.empty() || !overview.reach.empty())) return;
  page.Blank();
  page.Heading("AGENTS", missing.empty() ? Page::Tone::kPlain : Page::Tone::kBad);
  for (const std::string& target : missing) {
    if (!overview.reach.empty()) {
      page.Line(2, absl::StrCat("nothing works on ", target, " now: no `dunlin local` is running"));
      page.Command(4, "next: ", absl::StrCat("dunlin local FILE", overview.reach));
      continue;
    }
    page.Line(2, absl::StrCat("no agent is connected for target ", target));
    page.Command(4, "next: ",
                 absl::StrCat("dunlin-agent --coordinator HOST:PORT --target ", target, "=@FILE"));
  }
  if (!overview.reach.empty()) return;
  for (size_t i = 0; i < std::min(silent.size(), kMaxShown); ++i) {
    const v1::Agent& agent = *silent[i];
    page.Line(2,
              absl::StrCat(agent.name(), " (", absl::StrJoin(agent.targets(), ", "), ") is silent ",
                           SinceText(TimeOf(agent.last_heartbeat_time()), overview.now),
                           ": it was stopped, or it is lost"));
  }
  if (silent.size() > kMaxShown)
    page.Line(2, absl::StrCat("and ", silent.size() - kMaxShown, " more: dunlin agents"));
}

std::map<Kind, Runs> ByKind(const Overview& overview) {
  std::map<Kind, Runs> kinds;
  for (const Kind kind : {Kind::kNeedsPerson, Kind::kInWork, Kind::kWaits, Kind::kPausedAsAsked})
    kinds[kind] = OfKind(overview, kind);
  return kinds;
}

}  // namespace

std::string OverviewText(const Overview& overview, PageStyle style) {
  const std::map<Kind, Runs> kinds = ByKind(overview);
  Page page(style);
  page.Line(0, Verdict(overview, kinds),
            kinds.at(Kind::kNeedsPerson).empty() ? Page::Tone::kPlain : Page::Tone::kBad);
  PutRuns(overview, kinds.at(Kind::kNeedsPerson), "NEEDS A PERSON", Page::Tone::kBad, true, page);
  PutHarms(overview, page);
  PutRuns(overview, kinds.at(Kind::kInWork), "IN WORK", Page::Tone::kPlain, false, page);
  PutRuns(overview, kinds.at(Kind::kWaits), "WAITING", Page::Tone::kPlain, false, page);
  PutRuns(overview, kinds.at(Kind::kPausedAsAsked), "PAUSED AS ASKED", Page::Tone::kPlain, true,
          page);
  PutAgents(overview, page);
  if (std::none_of(overview.runs.begin(), overview.runs.end(), Wants)) return page.text();
  page.Blank();
  page.Command(0, "stop everything:                ",
               absl::StrCat("dunlin pause all --reason WHY", overview.reach));
  page.Command(0, "without dunlin, in a database:  ", "SELECT dunlin.stop('WHY')");
  return page.text();
}

json OverviewJson(const Overview& overview) {
  json out = {{"runs", json::array()},
              {"needs_person", json::array()},
              {"over_limit", json::array()},
              {"missing_targets", MissingTargets(overview)},
              {"agents", json::array()}};
  for (const v1::Run& run : overview.runs) out["runs"].push_back(RunJson(run));
  for (const v1::Run* run : OfKind(overview, Kind::kNeedsPerson)) {
    out["needs_person"].push_back(
        {{"run_id", run->run_id()},
         {"next_command", absl::StrCat("dunlin ", NextCommand(*run, NameIn(overview, *run)))}});
  }
  for (const Harm& harm : HarmsOf(overview)) {
    out["over_limit"].push_back(
        {{"target", harm.target},
         {"signal", harm.signal},
         {"subject", harm.subject},
         {"text", harm.text},
         {"pressure", harm.pressure},
         {"since_time", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", harm.since, absl::UTCTimeZone())}});
  }
  for (const v1::Agent& agent : overview.agents) out["agents"].push_back(AgentJson(agent));
  return out;
}

}  // namespace dunlin::cli
