#include "common/migration/undo.h"

#include "absl/strings/str_cat.h"

namespace dunlin {

std::string WhyNotUndoable(const Definition& definition) {
  for (size_t i = 0; i < definition.steps.size(); ++i) {
    if (definition.steps[i].undo) continue;
    return definition.steps.size() == 1
               ? std::string("its file has no `undo:`")
               : absl::StrCat("step ", i + 1, " of its file has no `undo:`");
  }
  return "";
}

Definition MakeUndo(const Definition& definition) {
  Definition undo = definition;
  undo.description = absl::StrCat("Undo of: ", definition.description);
  undo.requirements.clear();
  undo.depends_on.clear();
  undo.supersedes.clear();
  undo.steps.clear();
  for (size_t i = definition.steps.size(); i-- > 0;) {
    const StepDefinition& step = definition.steps[i];
    StepDefinition back{.table = step.table, .key = step.key};
    back.batch = step.undo->batch;
    back.once = step.undo->once;
    back.restore = step.undo->keep;
    // Between looking whether a row is as the migration left it and putting it back.
    back.lock = !back.restore.empty();
    back.undoes_step = static_cast<int>(i);
    back.uses_table_placeholder = step.uses_table_placeholder;
    undo.steps.push_back(std::move(back));
  }
  return undo;
}

}  // namespace dunlin
