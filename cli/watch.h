#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/context.h"

namespace dunlin::cli {

struct WatchOptions {
  int64_t from_revision = 0;
  bool json = false;
  // Ends with the first state that does not pass by itself; else only Ctrl-C ends it.
  bool until_end = true;
};

// Shows runs until each has ended: bars in place on a terminal, plain lines without one, one JSON
// event a line with `json`. Reconnects by itself and goes on from the last revision. Returns the
// worst exit code of the runs; 130 after Ctrl-C.
int WatchRuns(Client& client, const std::vector<std::string>& runs, const WatchOptions& options);

}  // namespace dunlin::cli
