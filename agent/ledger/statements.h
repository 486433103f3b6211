// Every fixed SQL statement of the agent: schema dunlin and catalogs. (SQL over a migration's own
// table is made from the catalog in work/step_sql.cc and task/sampling.cc.) A test prepares each on
// a real server.
#pragma once

#include "common/pg/types.h"

namespace dunlin::agent::sql {

// Catalog ---------------------------------------------------------------------------------------
extern const pg::Statement kFindTable;  // schema, name → oid, schema quoted, name quoted, relkind
extern const pg::Statement kPrimaryKey;  // oid → column names in key order
extern const pg::Statement kKeyColumn;  // oid, column → quoted, type oid, type, collation quoted,
                                        // not null, generated, sortable, collation version
extern const pg::Statement kKeyIndex;   // oid, columns → unique, indexed
extern const pg::Statement kLeaves;     // oid → quoted name, relkind
extern const pg::Statement kTypeOid;    // type name → oid
extern const pg::Statement kRelationBytes;  // oid → heap bytes of it and its partitions / children
extern const pg::Statement kPlainNames;  // oid → "schema.name" of it and what is below, unquoted
extern const pg::Statement kIdentity;    // → system identifier, timeline
extern const pg::Statement kForeignTransactions;  // → count
extern const pg::Statement kOpenTransactions;     // → id, who
extern const pg::Statement kDeadlockTimeout;      // → ms
extern const pg::Statement kTableFacts;  // oid → triggers, rules, row security, foreign keys to it,
                                         // publications of all tables, ones without an identity
extern const pg::Statement kVolatileFunctions;  // names → name, extension
extern const pg::Statement kCurrentRole;        // → role

// Ledger ----------------------------------------------------------------------------------------
extern const pg::Statement
    kLedgerVersion;  // → version or NULL when there is no ledger (0 rows never)
extern const pg::Statement kOwnerOfTarget;  // → store_id, store_name
extern const pg::Statement kTakeTarget;     // store id, store name
extern const pg::Statement kInsertRun;
extern const pg::Statement kRunById;         // id → digest, outcome, store id, timeline
extern const pg::Statement kRunOutcomes;     // limit → id, outcome or open, age; newest first
extern const pg::Statement kOtherRunOfName;  // name, id → id, batches; locks its shards
extern const pg::Statement kFenceOffShards;  // run
extern const pg::Statement kOpenRunOfName;   // name → id; locks it
extern const pg::Statement kLockShardsOfRun;
extern const pg::Statement kAnyBatchOfRun;   // run → whether a batch changed anything
extern const pg::Statement kLeftOutOfShard;  // shard → (lower, key] of what is set aside
extern const pg::Statement kRunIsOpen;       // run → whether nothing has ended it
extern const pg::Statement kDropShardsOfRun;
extern const pg::Statement kDropQuarantineOfRun;
extern const pg::Statement kSupersedeRun, kBaselineRun, kUndoRun, kLeftByUndo, kForget, kNoteLeft,
    kAdopt, kRunList, kReadRuns, kImagePages, kForgetImages, kInsertDoneShard, kKeptColumn;
extern const pg::Statement kBeginTask;
extern const pg::Statement kBeginPlan;
extern const pg::Statement kInsertShard;
extern const pg::Statement kShardsOfRun;  // run, step (-1 = all) → rows of LedgerShard
extern const pg::Statement kSetRowsTotal;
extern const pg::Statement kSetPlannedOn;
extern const pg::Statement kClaim;
extern const pg::Statement kShardState;  // id → epoch, lower, upper, relation, done
extern const pg::Statement kFence;
extern const pg::Statement kSpend;
extern const pg::Statement kAdvance;
extern const pg::Statement kSetAside;  // shard, id, key columns, lower, key, rows, SQLSTATE,
                                       // constraint, table
extern const pg::Statement kQuarantineOfShard;  // → rows of QuarantinedRow
extern const pg::Statement kQuarantineOfRun;
extern const pg::Statement kRowsRetried;        // run → rows that retries changed
extern const pg::Statement kFenceRetry;         // row, task epoch, budget
extern const pg::Statement kRetryDone;          // row, rows changed
extern const pg::Statement kRetryFailed;        // row, SQLSTATE, constraint, table
extern const pg::Statement kAcceptQuarantined;  // run, ids, who, why
extern const pg::Statement kCountQuarantined;   // run → neither done nor accepted
extern const pg::Statement kMoveUpper;
extern const pg::Statement kInsertChild;
extern const pg::Statement kTerminateBlockers;  // shard prefix, claimed epoch → terminated
extern const pg::Statement kCountShards;        // run → total, undone
extern const pg::Statement kFinishRun;

}  // namespace dunlin::agent::sql
