#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "agent/lease.h"

namespace dunlin::agent {

// A failed database call as a Problem, by its SQLSTATE: what the coordinator does with the run
// follows from the kind. Pure. `doing`: "planning public.reservations", for the sentence.
Problem ProblemFromStatus(const absl::Status& status, absl::string_view doing);

}  // namespace dunlin::agent
