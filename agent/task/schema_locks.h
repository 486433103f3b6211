#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "agent/lease.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// What says that a schema migration is at work in this database: the lock of Rails, golang-migrate,
// Flyway, Liquibase, sqlx, Prisma, goose or node-pg-migrate; any advisory lock of a session that
// has the record of Alembic or Django in hand; an AccessExclusiveLock on one of `tables` (as in
// files). Only looks, and takes no lock that others could wait for.
absl::StatusOr<SchemaLocks> FindSchemaLocks(pg::Connection& connection,
                                            const std::vector<std::string>& tables);

}  // namespace dunlin::agent
