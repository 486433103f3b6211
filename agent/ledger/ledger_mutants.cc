#include "agent/ledger/ledger_mutants.h"

#ifdef DUNLIN_FAULTS

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"

#include "agent/ledger/statements.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// A mutant that changes nothing would pass for a survivor: the text must be there so often.
void Replace(std::string& sql, int times, absl::string_view from, absl::string_view to) {
  CHECK_EQ(absl::StrReplaceAll({{from, to}}, &sql), times)
      << "the ledger's SQL has changed: mend the mutant that looks for: " << from;
}

// A plain read where a claim is due; nullopt: the read shows something else.
absl::StatusOr<std::optional<pg::Result>> ReadShard(pg::Connection& connection,
                                                    const std::vector<pg::Value>& parameters,
                                                    absl::string_view condition) {
  DUNLIN_ASSIGN_OR_RETURN(
      pg::Result read,
      connection.Query(absl::StrCat("SELECT lower, upper, cursor, seq, done, rows_done, "
                                    "rows_changed, rows_total, collations FROM dunlin.shard WHERE "
                                    "id = $1::uuid AND $2::bigint > 0 AND ",
                                    condition),
                       {parameters[0], parameters[1]}));
  if (read.rows.empty()) return std::optional<pg::Result>();
  return std::optional<pg::Result>(std::move(read));
}

}  // namespace

std::string MutateLedgerSql(std::string sql) {
  if (DUNLIN_MUTANT("fence_does_not_raise")) {
    Replace(sql, 2,
            "RAISE EXCEPTION USING ERRCODE = 'DN001', MESSAGE = 'the shard belongs to a newer "
            "epoch';",
            "NULL;");
  }
  if (DUNLIN_MUTANT("savepoint_around_fence")) {
    Replace(sql, 1, "WHERE s.id = p_shard AND s.epoch = p_epoch;", "WHERE s.id = p_shard;");
  }
  if (DUNLIN_MUTANT("in_doubt_by_read") || DUNLIN_MUTANT("in_doubt_same_epoch")) {
    Replace(sql, 1, " OR v_shard.seq <> p_seq", "");
  }
  if (DUNLIN_MUTANT("plan_twice")) {
    Replace(sql, 1,
            "RAISE EXCEPTION USING ERRCODE = 'DN004', MESSAGE = 'this step has been planned';",
            "NULL;");
  }
  if (DUNLIN_MUTANT("finalize_unfenced")) {
    Replace(sql, 1, " AND r.task_epoch < p_task_epoch;", ";");
  }
  if (DUNLIN_MUTANT("task_of_any_store"))
    Replace(sql, 1, " AND r.store_id = p_store AND r.task", " AND r.task");
  if (DUNLIN_MUTANT("adopt_keeps_shards")) {
    Replace(sql, 1, "SET id = md5(s.id::text || p_store::text)::uuid, epoch", "SET epoch");
  }
  if (DUNLIN_MUTANT("retry_unfenced")) Replace(sql, 1, " OR v_run.task_epoch <> p_task_epoch", "");
  if (DUNLIN_MUTANT("budget_not_spent")) {
    Replace(sql, 1,
            "greatest(1, p_budget_ms - (extract(epoch FROM clock_timestamp() - now()) * "
            "1000)::bigint)::text",
            "p_budget_ms::text");
  }
  return sql;
}

absl::StatusOr<std::optional<pg::Result>> ClaimAsMutant(pg::Connection& connection,
                                                        const std::vector<pg::Value>& parameters) {
  if (DUNLIN_MUTANT("done_from_read")) return ReadShard(connection, parameters, "done");
  if (DUNLIN_MUTANT("in_doubt_by_read")) return ReadShard(connection, parameters, "epoch = $2");
  if (DUNLIN_MUTANT("in_doubt_same_epoch")) {
    DUNLIN_ASSIGN_OR_RETURN(pg::Result claimed, connection.Execute(sql::kClaim, parameters));
    if (claimed.rows.empty()) return ReadShard(connection, parameters, "epoch = $2");
    return std::optional<pg::Result>(std::move(claimed));
  }
  if (DUNLIN_MUTANT("digest_not_compared")) {
    std::string sql = sql::kClaim.sql;
    Replace(sql, 1, "r.digest = $4", "$4::text IS NOT NULL");
    DUNLIN_ASSIGN_OR_RETURN(pg::Result claimed, connection.Query(sql, parameters));
    return std::optional<pg::Result>(std::move(claimed));
  }
  if (DUNLIN_MUTANT("claim_inserts")) {
    DUNLIN_RETURN_IF_ERROR(
        connection
            .Query("INSERT INTO dunlin.shard (id, run, step, relation, lower, upper) VALUES "
                   "($1::uuid, $2::uuid, 0, $3, $4::text[], $5::text[]) ON CONFLICT DO NOTHING",
                   {parameters[0], parameters[2], parameters[4], parameters[5], parameters[6]})
            .status());
  }
  return std::optional<pg::Result>();
}

}  // namespace dunlin::agent

#endif  // DUNLIN_FAULTS
