#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "agent/work/lease_handle.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// Every session of a lease passes through here as it is opened: it reports which server it has met,
// and is of no use on another than the lease is for (a failover between grant and connect, or an
// agent that still reaches the former primary). A session stays on its server and a primary on its
// timeline, so once is enough; behind a pooler each transaction looks again. ABORTED as
// LeaseHandle::TieTo(); else the error of `opened` or of reading.
absl::StatusOr<std::unique_ptr<pg::Connection>> TieSession(
    LeaseHandle& handle, absl::StatusOr<std::unique_ptr<pg::Connection>> opened);

}  // namespace dunlin::agent
