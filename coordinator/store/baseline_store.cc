// Migrations that were done elsewhere: only the record of it is written.
#include "absl/strings/str_cat.h"

#include "common/migration/name.h"
#include "common/migration/parser.h"
#include "common/status_macros.h"
#include "coordinator/store/idempotency.h"
#include "coordinator/store/statements.h"
#include "coordinator/store/store.h"
#include "coordinator/store/store_internal.h"

namespace dunlin::coordinator {

absl::StatusOr<pb::BaselineMigrationResponse> Store::BaselineMigration(
    const pb::BaselineMigrationRequest& request, const Caller& caller) {
  DUNLIN_ASSIGN_OR_RETURN(const MigrationName name, ParseMigrationName(request.migration()));
  NewRun made{.name = name.full(),
              .digest = DigestOf(request.definition()),
              .bytes = request.definition(),
              .parameters_json = "{}",
              .place = name.full().substr(0, name.full().find('_')),
              .operator_name = request.operator_name(),
              .reason = request.reason(),
              .kind = RunKind::kBaseline,
              .note = absl::StrCat(request.operator_name(), ": ", request.reason())};
  DUNLIN_ASSIGN_OR_RETURN(made.definition,
                          ParseMigrationOrError(name.full() + ".yaml", request.definition()));
  return Idempotent<pb::BaselineMigrationRequest, pb::BaselineMigrationResponse>(
      request, [&](Transaction& tx, pb::BaselineMigrationResponse& response) -> absl::Status {
        DUNLIN_ASSIGN_OR_RETURN(made.target, TargetOf(tx, made.definition, request.target()));
        DUNLIN_RETURN_IF_ERROR(tx.Run(sql::kLockName, {absl::StrCat(made.name, "@", made.target)}));
        DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                                tx.Query(sql::kNewestRunOfTarget, {made.name, made.target}));
        if (!found.rows.empty()) return ReadRunInto(tx, found.Text(0, 0), response.mutable_run());
        response.set_created(true);
        return CreateRun(tx, made, caller, response.mutable_run());
      });
}

}  // namespace dunlin::coordinator
