#include "agent/work/tied_session.h"

#include <utility>

#include "agent/ledger/ledger.h"
#include "common/status_macros.h"

namespace dunlin::agent {

absl::StatusOr<std::unique_ptr<pg::Connection>> TieSession(
    LeaseHandle& handle, absl::StatusOr<std::unique_ptr<pg::Connection>> opened) {
  if (!opened.ok()) return opened;
  DUNLIN_ASSIGN_OR_RETURN(const TargetIdentity met,
                          ReadIdentity(**opened, handle.lease().run.target));
  DUNLIN_RETURN_IF_ERROR(handle.TieTo(met));
  (*opened)->Require(IsServerSql(**opened, met));
  return opened;
}

}  // namespace dunlin::agent
