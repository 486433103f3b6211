#include "agent/ledger/installer.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "agent/ledger/ledger.h"
#include "agent/ledger/ledger_mutants.h"
#include "agent/ledger/ledger_schema.h"
#include "agent/ledger/statements.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// Agents of one target start together: one installs, the others wait and find it done. The number
// only has to be ours.
constexpr absl::string_view kInstallLock = "SELECT pg_advisory_xact_lock(7305809122113401);\n";

std::string QuoteRole(absl::string_view role) {
  return absl::StrCat("\"", absl::StrReplaceAll(role, {{"\"", "\"\""}}), "\"");
}

std::optional<Problem> OwnedByAnother(const pg::Result& owner, const RunSpec& run) {
  if (owner.rows.empty() || !owner.rows[0][0] || *owner.rows[0][0] == run.store_id)
    return std::nullopt;
  return Problem{
      .kind = Problem::Kind::kStoreRefused,
      .message = absl::StrCat(
          "target ", run.target,
          " belongs to another store: ", owner.rows[0][1].value_or("unnamed"), " (",
          *owner.rows[0][0], "); this one is ", run.store_name, " (", run.store_id,
          "). Two stores on one target would run migrations twice, so nothing is done here: drive "
          "this one from there; or, when that store is lost or given up, take the target over: "
          "dunlin adopt ",
          run.target, " --reason WHY")};
}

// {"name": "value"}; values come from --set, so they are escaped by the server's own rules of JSON.
std::string ParametersJson(const std::map<std::string, std::string>& parameters) {
  std::string json = "{";
  for (const auto& [name, value] : parameters) {
    std::string escaped;
    for (const char c : value) {
      if (c == '"' || c == '\\') {
        escaped += '\\';
        escaped += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        constexpr char kHex[] = "0123456789abcdef";
        absl::StrAppend(&escaped, "\\u00");
        escaped += kHex[(c >> 4) & 0xf];
        escaped += kHex[c & 0xf];
      } else {
        escaped += c;
      }
    }
    absl::StrAppend(&json, json.size() > 1 ? ", " : "", "\"", name, "\": \"", escaped, "\"");
  }
  return json + "}";
}

// Makes way for a new run of the name: when the former one never committed a batch its shards go,
// so that no zombie of it passes the fence; when this run takes its place all the same (redo),
// their epochs rise. False = it has changed rows, and nobody said to take its place.
absl::StatusOr<bool> MakeWay(pg::Connection& connection, const RunSpec& run) {
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result other,
      connection.Execute(sql::kOtherRunOfName, {run.migration, run.id.value()}));
  if (other.rows.empty()) return true;
  const std::string& id = other.Text(0, 0);
  DUNLIN_RETURN_IF_ERROR(connection.Execute(sql::kLockShardsOfRun, {id}).status());
  if (id == run.follows.value()) {
    DUNLIN_RETURN_IF_ERROR(connection.Execute(sql::kFenceOffShards, {id}).status());
  } else {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result any, connection.Execute(sql::kAnyBatchOfRun, {id}));
    if (any.Bool(0, 0) || other.Text(0, 1) == "baseline") return false;
    DUNLIN_RETURN_IF_ERROR(connection.Execute(sql::kDropShardsOfRun, {id}).status());
    DUNLIN_RETURN_IF_ERROR(connection.Execute(sql::kDropQuarantineOfRun, {id}).status());
  }
  DUNLIN_RETURN_IF_ERROR(connection.Execute(sql::kSupersedeRun, {id}).status());
  LOG(INFO) << Event("run_superseded").Kv("run", id).Kv("by", run.id);
  return true;
}

// What an undo begins with: the run that it takes back is over, no batch of it commits any more,
// and gates and dunlin.require() fail from here on. Waits for a batch in flight of a zombie of it.
absl::StatusOr<std::optional<Problem>> TakeBack(pg::Connection& connection, const RunSpec& run) {
  const std::optional<Problem> none;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result begun,
                          connection.Execute(sql::kRunById, {run.id.value()}));
  if (!begun.rows.empty()) return none;  // by an earlier try
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result taken_back,
                          connection.Execute(sql::kUndoRun, {run.follows.value()}));
  if (taken_back.rows_affected == 0) {
    return std::optional<Problem>(Problem{
        .kind = Problem::Kind::kDefinition,
        .message =
            absl::StrCat("the ledger of target ", run.target, " has no run of ", run.migration,
                         " that could be undone: it never changed a row there, was "
                         "undone or forgotten, or another has taken its place")});
  }
  DUNLIN_RETURN_IF_ERROR(connection.Execute(sql::kLockShardsOfRun, {run.follows.value()}).status());
  if (!DUNLIN_MUTANT("undo_unfenced")) {
    DUNLIN_RETURN_IF_ERROR(
        connection.Execute(sql::kFenceOffShards, {run.follows.value()}).status());
  }
  LOG(INFO) << Event("undo_begun").Kv("run", run.follows).Kv("by", run.id);
  return none;
}

// Takes the place of what the migration supersedes, whatever became of that. Waits for a batch in
// flight of a zombie of it.
absl::Status StandInFor(pg::Connection& connection, const std::string& name) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, connection.Execute(sql::kOpenRunOfName, {name}));
  if (found.rows.empty()) return absl::OkStatus();
  DUNLIN_RETURN_IF_ERROR(connection.Execute(sql::kFenceOffShards, {found.Text(0, 0)}).status());
  return connection.Execute(sql::kSupersedeRun, {found.Text(0, 0)}).status();
}

absl::StatusOr<std::optional<Problem>> RegisterInTransaction(pg::Connection& connection,
                                                             const RunSpec& run,
                                                             const Definition& definition,
                                                             const TargetIdentity& identity,
                                                             const std::string& baseline_note) {
  const std::optional<Problem> none;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result taken,
                          connection.Execute(sql::kTakeTarget, {run.store_id, run.store_name}));
  if (taken.rows_affected == 0) {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result owner, connection.Execute(sql::kOwnerOfTarget));
    return OwnedByAnother(owner, run);
  }
  if (run.kind == RunSpec::Kind::kUndo) {
    DUNLIN_ASSIGN_OR_RETURN(std::optional<Problem> problem, TakeBack(connection, run));
    if (problem) return problem;
  }
  DUNLIN_ASSIGN_OR_RETURN(const bool free, MakeWay(connection, run));
  if (!free) {
    return std::optional<Problem>(Problem{
        .kind = Problem::Kind::kDefinition,
        .message =
            absl::StrCat("the ledger of target ", run.target, " has another run of ", run.migration,
                         " that has changed rows already, or is recorded as done elsewhere; give "
                         "the new file a new name")});
  }
  if (!definition.supersedes.empty())
    DUNLIN_RETURN_IF_ERROR(StandInFor(connection, definition.supersedes));
  DUNLIN_RETURN_IF_ERROR(
      connection
          .Execute(
              sql::kInsertRun,
              {run.id.value(), run.migration, run.digest, run.definition,
               ParametersJson(run.parameters), run.store_id, identity.system_identifier,
               absl::StrCat(identity.timeline), run.started_at, definition.supersedes,
               absl::StrCat(absl::ToInt64Seconds(definition.soak)),
               run.kind == RunSpec::Kind::kUndo ? pg::Value(run.follows.value()) : std::nullopt})
          .status());
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result known,
                          connection.Execute(sql::kRunById, {run.id.value()}));
  if (known.rows.empty() || known.Text(0, 0) != run.digest) {
    return std::optional<Problem>(
        Problem{.kind = Problem::Kind::kDefinition,
                .message = "the ledger's record of this run has another digest"});
  }
  if (!baseline_note.empty()) {
    DUNLIN_RETURN_IF_ERROR(
        connection.Execute(sql::kBaselineRun, {run.id.value(), baseline_note}).status());
  }
  return none;
}

absl::StatusOr<std::optional<Problem>> Register(pg::Connection& connection, const RunSpec& run,
                                                const Definition& definition,
                                                const TargetIdentity& identity,
                                                const std::string& baseline_note) {
  DUNLIN_RETURN_IF_ERROR(
      connection.Query("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").status());
  absl::StatusOr<std::optional<Problem>> registered =
      RegisterInTransaction(connection, run, definition, identity, baseline_note);
  if (!registered.ok() || registered->has_value()) {
    if (!connection.broken()) DUNLIN_RETURN_IF_ERROR(connection.Query("ROLLBACK").status());
    return registered;
  }
  auto committed = connection.Query("COMMIT");
  pg::Outcome outcome{.status = committed.status()};
  if (committed.ok()) outcome.result = *committed;
  DUNLIN_RETURN_IF_ERROR(CheckCommitted(outcome));
  return registered;
}

}  // namespace

std::string LedgerSql(absl::string_view role) {
  std::string sql = "BEGIN;\n";
  absl::StrAppend(&sql, kInstallLock);
  for (const EmbeddedFile& file : kSchemaFiles)
    absl::StrAppend(&sql, "\n-- ", file.name, "\n", MutateLedgerSql(file.text));
  if (!role.empty()) {
    const std::string to = absl::StrCat(" TO ", QuoteRole(role), ";\n");
    absl::StrAppend(&sql, "\n-- What an agent needs that connects as this role.\n");
    absl::StrAppend(&sql, "GRANT USAGE ON SCHEMA dunlin", to);
    absl::StrAppend(&sql, "GRANT SELECT, UPDATE ON dunlin.meta", to);
    absl::StrAppend(&sql, "GRANT SELECT, INSERT, UPDATE ON dunlin.run", to);
    absl::StrAppend(&sql, "GRANT SELECT, INSERT, UPDATE, DELETE ON dunlin.shard", to);
    absl::StrAppend(&sql, "GRANT SELECT, INSERT, UPDATE, DELETE ON dunlin.quarantine", to);
    absl::StrAppend(&sql, "GRANT SELECT, INSERT ON dunlin.adoption", to);
    absl::StrAppend(&sql, "GRANT SELECT, INSERT, UPDATE ON dunlin.pace", to);
    absl::StrAppend(&sql, "GRANT SELECT, INSERT, DELETE ON dunlin.before_image", to);
    absl::StrAppend(&sql,
                    "GRANT SELECT ON dunlin.stopped, dunlin.progress, dunlin.history, "
                    "dunlin.left_by_undo",
                    to);
  }
  absl::StrAppend(&sql, "COMMIT;\n");
  return sql;
}

absl::StatusOr<std::optional<Problem>> EnsureLedger(pg::Connection& connection,
                                                    const RunSpec& run) {
  const std::optional<Problem> none;
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result exists, connection.Execute(sql::kLedgerVersion));
  int64_t version = 0;
  if (exists.Bool(0, 0)) {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result owner, connection.Execute(sql::kOwnerOfTarget));
    if (std::optional<Problem> problem = OwnedByAnother(owner, run)) return problem;
    version = owner.rows.empty() ? 0 : owner.Int(0, 2);
  }
  if (version > kLedgerVersion + 1) {
    return std::optional<Problem>(
        Problem{.kind = Problem::Kind::kPermission,
                .message = absl::StrCat("schema dunlin of target ", run.target, " has version ",
                                        version, ", this agent knows ", kLedgerVersion,
                                        "; use an agent of the same release")});
  }
  if (version >= kLedgerVersion) return none;  // one that is newer by one is no trouble
  const absl::Status installed =
      connection.ExecuteScript(LedgerSql(""), {.timeout = absl::Seconds(30)});
  if (pg::SqlStateOf(installed) == "42501") {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result role, connection.Execute(sql::kCurrentRole));
    return std::optional<Problem>(Problem{
        .kind = Problem::Kind::kPermission,
        .message = absl::StrCat("target ", run.target,
                                version == 0 ? " has no schema dunlin, and role "
                                             : " has schema dunlin of an older release, and role ",
                                role.Text(0, 0), " may not ", version == 0 ? "make" : "upgrade",
                                " it; as the database's owner run: dunlin ledger sql --role ",
                                role.Text(0, 0), " | psql …, then resume"),
        .sqlstate = "42501"});
  }
  if (!installed.ok()) return installed;
  LOG(INFO) << Event("ledger_installed").Kv("target", run.target).Kv("version", kLedgerVersion);
  return none;
}

absl::StatusOr<std::optional<Problem>> RegisterRun(pg::Connection& connection, const RunSpec& run,
                                                   const Definition& definition,
                                                   const TargetIdentity& identity) {
  return Register(connection, run, definition, identity, "");
}

absl::StatusOr<std::optional<Problem>> RegisterBaseline(pg::Connection& connection,
                                                        const RunSpec& run,
                                                        const Definition& definition,
                                                        const TargetIdentity& identity,
                                                        const std::string& note) {
  return Register(connection, run, definition, identity, note);
}

}  // namespace dunlin::agent
