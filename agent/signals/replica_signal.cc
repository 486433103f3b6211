#include <algorithm>

#include "absl/strings/str_cat.h"

#include "agent/signals/signal.h"
#include "agent/signals/statements.h"
#include "agent/signals/wal_history.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// How far replicas are behind, by what they have replayed.
class ReplicaSignal : public Signal {
 public:
  std::vector<SignalKind> kinds() const override {
    return {SignalKind::kReplicaLag, SignalKind::kReplicaLagBytes};
  }

  absl::Status Measure(pg::Connection& connection, absl::Duration now,
                       const std::vector<MeasuredRun>&,
                       std::vector<SignalSample>& samples) override {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result written, connection.Execute(sql::kWalPosition));
    const int64_t position = written.Int(0, 0);
    history_.Note(now, position);
    DUNLIN_ASSIGN_OR_RETURN(const std::string missing,
                            GrantThatHelps(connection, "see how far replicas are behind"));
    if (!missing.empty()) {
      for (const SignalKind kind : kinds())
        samples.push_back({.kind = kind, .not_measured = missing});
      return absl::OkStatus();
    }
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result replicas, connection.Execute(sql::kReplicas));
    bool any = false;
    for (size_t row = 0; row < replicas.rows.size(); ++row) {
      if (replicas.IsNull(row, 1)) continue;  // it has just begun to stream
      const int64_t replayed = replicas.Int(row, 1);
      const double seconds = absl::ToDoubleSeconds(history_.BehindBy(now, replayed));
      samples.push_back(
          {.kind = SignalKind::kReplicaLag, .subject = replicas.Text(row, 0), .value = seconds});
      samples.push_back({.kind = SignalKind::kReplicaLagBytes,
                         .subject = replicas.Text(row, 0),
                         .value = static_cast<double>(std::max<int64_t>(0, position - replayed))});
      any = true;
    }
    if (!any) {
      for (const SignalKind kind : kinds()) samples.push_back({.kind = kind});
    }
    return absl::OkStatus();
  }

 private:
  WalHistory history_;
};

}  // namespace

std::unique_ptr<Signal> MakeReplicaSignal() { return std::make_unique<ReplicaSignal>(); }

absl::StatusOr<std::string> GrantThatHelps(pg::Connection& connection, const std::string& what) {
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result may, connection.Execute(sql::kMayReadStats));
  if (may.Bool(0, 0)) return std::string();
  return absl::StrCat("role ", may.Text(0, 1), " may not ", what, "; GRANT pg_monitor TO ",
                      may.Text(0, 1));
}

}  // namespace dunlin::agent
