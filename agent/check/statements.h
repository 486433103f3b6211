// SQL of `check`.
#pragma once

#include "common/pg/types.h"

namespace dunlin::agent::sql {

// Whether row-level security applies to this role on $1, and the role.
extern const pg::Statement kRowSecurity;
// Foreign keys to table $1 without an index on their columns: name, "table (columns)", its pages.
extern const pg::Statement kForeignKeysWithoutIndex;
// How far the heap of $1 follows its column $2 (-1 … 1, NULL = not known), and whether it fits into
// shared_buffers.
extern const pg::Statement kHeapOrder;
// The role; whether it may use or create the ledger; whether it is in pg_monitor.
extern const pg::Statement kLedgerGrants;
// What this transaction and those before it did to tables: name, inserted, updated, HOT, deleted.
extern const pg::Statement kEffects;
// The indexes of table $1 that hold any of the columns $2, by name.
extern const pg::Statement kIndexesOn;
// Table $1 and what is below it.
extern const pg::Statement kTreeOids;
// Rows of a table (or its partitions) as last analyzed; -1 = not known.
extern const pg::Statement kRowsKnown;
// The clock, and how much WAL there is.
extern const pg::Statement kClockAndWal;
// Bounds the next statement by what is left of $1 milliseconds since BEGIN (I12).
extern const pg::Statement kSpendOf;

}  // namespace dunlin::agent::sql
