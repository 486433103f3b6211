// `dunlin status` without a run: what the on-call engineer types at night. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/page.h"
#include <nlohmann/json_fwd.hpp>

#include "dunlin/v1/agent.pb.h"
#include "dunlin/v1/run.pb.h"

namespace dunlin::cli {

struct Overview {
  std::vector<v1::Run> runs;      // live ones, and those that failed with nothing in their place
  std::vector<v1::Agent> agents;  // heard of within the last hour
  absl::Time now;
  std::string reach;  // " --database …" or nothing: what commands need to reach the same place
};

// First what needs a person, with the command to type next; whom Dunlin harms; what works, what
// waits and why; which agents are missing; last the two commands that stop everything.
std::string OverviewText(const Overview& overview, PageStyle style);
// The same as one object: runs, needs_person, over_limit, missing_targets, agents.
nlohmann::json OverviewJson(const Overview& overview);

}  // namespace dunlin::cli
