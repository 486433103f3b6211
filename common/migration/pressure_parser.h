#pragma once

#include "common/migration/definition.h"
#include "common/migration/yaml_fields.h"

namespace dunlin {

// `on_pressure:`: a limit or `off` for each signal that is named, and a query of the file's own.
OnPressure ReadOnPressure(const YamlField& field, ProblemList& problems);

}  // namespace dunlin
