#include "coordinator/logic/undo_policy.h"

#include "absl/strings/str_cat.h"

namespace dunlin::coordinator {

std::string WhyNoUndo(const UndoFacts& facts) {
  if (facts.kind == RunKind::kUndo) {
    return facts.state == RunState::kFinished
               ? absl::StrCat("it is undone already; to run it again: dunlin redo ",
                              facts.migration)
               : absl::StrCat("its undo has begun already; see how far: dunlin show ",
                              facts.migration);
  }
  if (facts.kind == RunKind::kBaseline)
    return "it was done elsewhere, so there is nothing here to put back";
  if (IsLive(facts.state) && facts.state != RunState::kPaused)
    return absl::StrCat("stop it first: dunlin pause ", facts.migration);
  if (!facts.why_not_undoable.empty()) {
    return absl::StrCat(facts.why_not_undoable,
                        ", so nothing was kept to put back; write a new migration that does it");
  }
  if (!facts.any_batch_committed) return "it has changed no row";
  return facts.forgotten ? "its before-images were dropped (dunlin forget); write a new migration "
                           "that puts the rows back"
                         : "";
}

}  // namespace dunlin::coordinator
