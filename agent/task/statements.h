// The statements by which tasks look for a schema migration that is at work.
#pragma once

#include "common/pg/types.h"

namespace dunlin::agent::sql {

extern const pg::Statement kDatabaseName, kVersionTables, kAdvisoryLocks, kTableLocks,
    kLiquibaseTables;

}  // namespace dunlin::agent::sql
