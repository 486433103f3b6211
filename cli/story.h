// `dunlin show` and `dunlin events`: what became of a run, and who did what. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/page.h"

#include "dunlin/v1/run.pb.h"

namespace dunlin::cli {

struct Story {
  v1::Run run;
  std::vector<v1::RunEvent> events;  // the audit's, from the beginning
  std::vector<v1::Shard> shards;
  std::string name;   // as the operator named the run
  std::string reach;  // " --database …" or nothing
  absl::Time now;
};

// One screen: what it is, who started it, how far it is, what it waits for, what to type next, and
// what happened. A long story is told by its beginning and its end.
std::string StoryText(const Story& story, PageStyle style);

// All events: a table with a line each, or two lines each where a terminal is too narrow for that.
std::string EventsText(const std::vector<v1::RunEvent>& events, PageStyle style);

}  // namespace dunlin::cli
