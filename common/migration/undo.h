#pragma once

#include <string>

#include "common/migration/definition.h"

namespace dunlin {

// Why a migration cannot be undone, as a sentence; empty = every step of it says how.
std::string WhyNotUndoable(const Definition& definition);

// What takes a migration back: its steps from the last to the first, each with the statements of
// its `undo:`, over the same tables and keys. Nothing is verified, nothing required. The migration
// must be undoable. Pure: coordinator and agents make the same from the same bytes.
Definition MakeUndo(const Definition& definition);

}  // namespace dunlin
