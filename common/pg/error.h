#pragma once

#include "absl/status/status.h"

#include "common/pg/types.h"

namespace dunlin::pg {

// The one place where a server's error becomes a Status: code by SQLSTATE class, a ServerError
// payload, and a message without row values (I8). `message` in `error` is dropped unless it is
// safe: class 42, 0A, 3D, 3F and 28 quote only names of the definition, DN… is Dunlin's own.
absl::Status MakeServerStatus(ServerError error);

// For a broken connection or a passed client-side deadline: IsConnectionLost() holds.
absl::Status MakeConnectionLost(absl::StatusCode code, absl::string_view message);

// For a connection that the server's machine refused: IsServerDown() holds.
absl::Status MakeConnectionRefused(absl::string_view message);

// A name for people of an SQLSTATE whose own message may quote values: "unique violation (23505)".
std::string DescribeSqlState(absl::string_view sqlstate);

}  // namespace dunlin::pg
