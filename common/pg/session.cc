#include "common/pg/session.h"

#include "absl/strings/str_cat.h"

namespace dunlin::pg {
namespace {

std::string Milliseconds(absl::Duration duration) {
  return absl::StrCat(absl::ToInt64Milliseconds(duration));
}

// The timer costs a batch some percent, and its statements end before it would fire.
constexpr absl::Duration kClientCheck = absl::Seconds(5);

}  // namespace

ConnectOptions MakeSessionOptions(const SessionPins& pins) {
  ConnectOptions options;
  options.application_name = pins.application_name;
  options.settings = {
      {"default_transaction_isolation", "read committed"},
      {"default_transaction_read_only", "off"},
      {"default_transaction_deferrable", "off"},
      {"DateStyle", "ISO, YMD"},
      {"TimeZone", "UTC"},
      {"IntervalStyle", "postgres"},
      {"bytea_output", "hex"},
      {"extra_float_digits", "3"},
      {"xmlbinary", "base64"},
      {"standard_conforming_strings", "on"},
      {"search_path", pins.search_path.empty() ? "pg_catalog, pg_temp" : pins.search_path},
      {"synchronous_commit", pins.synchronous_commit ? "on" : "off"},
      {"statement_timeout", Milliseconds(pins.statement_timeout)},
      {"lock_timeout", Milliseconds(pins.lock_timeout)},
      {"idle_in_transaction_session_timeout", Milliseconds(pins.idle_in_transaction_timeout)},
      // A policy then raises instead of hiding rows.
      {"row_security", "off"},
      {"max_parallel_workers_per_gather", "0"},
      {"jit", "off"},
      {"client_min_messages", "warning"},
  };
  // A statement that may take minutes ends soon after its client has died.
  if (pins.statement_timeout > kClientCheck)
    options.settings.emplace_back("client_connection_check_interval", Milliseconds(kClientCheck));
  if (pins.force_custom_plan) options.settings.emplace_back("plan_cache_mode", "force_custom_plan");
  return options;
}

}  // namespace dunlin::pg
