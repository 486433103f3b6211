// All SQL of the signals. Works for a plain role on 13 to 18; what such a role may not see comes
// back as NULL.
#pragma once

#include "common/pg/connection.h"

namespace dunlin::agent::sql {

extern const pg::Statement kProbe, kWhoWorks, kTransactionsEnded;
extern const pg::Statement kLockSnapshot;
extern const pg::Statement kMayReadStats;
extern const pg::Statement kWalPosition;
extern const pg::Statement kReplicas;
extern const pg::Statement kSlots;
extern const pg::Statement kArchiver;
extern const pg::Statement kTransactionAges;
extern const pg::Statement kPreparedAges;
extern const pg::Statement kDeadRows;
extern const pg::Statement kNotePace;
extern const char* const kBeginCheck;
extern const char* const kEndCheck;

}  // namespace dunlin::agent::sql
