#include <algorithm>

#include "absl/strings/numbers.h"

#include "agent/signals/signal.h"
#include "agent/signals/statements.h"
#include "agent/signals/wal_history.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// The number of a WAL file since the beginning; -1 for other names (a history, a backup's label).
int64_t FileNumber(const std::string& name, int64_t file_bytes) {
  constexpr size_t kNameBytes = 24;
  constexpr size_t kPart = 8;
  int64_t high = 0, low = 0;
  if (name.size() != kNameBytes || file_bytes <= 0 ||
      !absl::SimpleHexAtoi(name.substr(kPart, kPart), &high) ||
      !absl::SimpleHexAtoi(name.substr(2 * kPart), &low)) {
    return -1;
  }
  return high * ((int64_t{1} << 32) / file_bytes) + low;
}

// How fast WAL is written, and whether it is archived as fast.
class WalSignal : public Signal {
 public:
  std::vector<SignalKind> kinds() const override {
    return {SignalKind::kWalRate, SignalKind::kArchiveFailure, SignalKind::kArchiveBacklog};
  }

  absl::Status Measure(pg::Connection& connection, absl::Duration now,
                       const std::vector<MeasuredRun>&,
                       std::vector<SignalSample>& samples) override {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result written, connection.Execute(sql::kWalPosition));
    history_.Note(now, written.Int(0, 0));
    samples.push_back({.kind = SignalKind::kWalRate, .value = history_.BytesPerSecond(now)});

    DUNLIN_ASSIGN_OR_RETURN(const pg::Result archiver, connection.Execute(sql::kArchiver));
    SignalSample failure{.kind = SignalKind::kArchiveFailure};
    SignalSample backlog{.kind = SignalKind::kArchiveBacklog};
    if (archiver.Bool(0, 0)) {
      if (archiver.Bool(0, 1)) {
        failure.value = 1;
        failure.subject = archiver.Text(0, 2);
      }
      const int64_t file_bytes = archiver.Int(0, 5);
      const int64_t archived = FileNumber(archiver.Text(0, 3), file_bytes);
      const int64_t current = FileNumber(archiver.Text(0, 4), file_bytes);
      // The one that is written is not due yet.
      if (archived >= 0 && current > archived)
        backlog.value = static_cast<double>((current - archived - 1) * file_bytes);
    }
    samples.insert(samples.end(), {failure, backlog});
    return absl::OkStatus();
  }

 private:
  WalHistory history_;
};

}  // namespace

std::unique_ptr<Signal> MakeWalSignal() { return std::make_unique<WalSignal>(); }

}  // namespace dunlin::agent
