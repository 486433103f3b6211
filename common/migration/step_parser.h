#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/migration/definition.h"
#include "common/migration/sql_template.h"
#include "common/migration/yaml_fields.h"

namespace dunlin {

// The fields that make a step, at the top of a file or in its `steps:`.
const std::vector<std::string>& StepFieldNames();

// What a statement of a file may and must be.
struct StatementRules {
  enum class Placeholder { kAllowed, kRequired, kForbidden };
  Placeholder batch = Placeholder::kAllowed;
  Placeholder table = Placeholder::kAllowed;
  bool only_reads = false;  // a SELECT without CTEs that change rows
};

// A field's text, checked as a statement with placeholders.
struct CheckedStatement {
  SqlText text;
  SqlTemplate parsed;
};
std::optional<CheckedStatement> ReadStatement(const YamlField& field, const StatementRules& rules,
                                              const std::vector<std::string>& parameters,
                                              ProblemList& problems);

// One step, of the fields in `fields` (others are ignored). `whole` = what holds the fields, for
// problems of the step as a whole. The answer is meaningful only when no problem was added.
StepDefinition ReadStep(const std::map<std::string, YamlField>& fields, const YamlField& whole,
                        const std::vector<std::string>& parameters, ProblemList& problems);

}  // namespace dunlin
