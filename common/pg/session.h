#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "common/pg/connection.h"

namespace dunlin::pg {

// Pins every setting that changes the meaning of SQL or of keys as text, whatever the role,
// database or environment says: isolation, DateStyle, TimeZone, IntervalStyle, bytea_output,
// extra_float_digits, search_path, standard_conforming_strings, synchronous_commit, row_security =
// off, max_parallel_workers_per_gather = 0, jit = off, client_encoding UTF8, lock_timeout,
// statement_timeout, idle_in_transaction_session_timeout, client_connection_check_interval (14 and
// newer).
struct SessionPins {
  std::string application_name = "dunlin/agent";
  std::string search_path;  // already quoted list; "" = pg_catalog only, for Dunlin's own SQL
  absl::Duration lock_timeout = absl::Milliseconds(100);
  absl::Duration statement_timeout = absl::Seconds(5);
  absl::Duration idle_in_transaction_timeout = absl::Seconds(10);
  bool force_custom_plan = true;  // plan_cache_mode: a generic plan may scan
  bool synchronous_commit = true;
};

ConnectOptions MakeSessionOptions(const SessionPins& pins);

}  // namespace dunlin::pg
