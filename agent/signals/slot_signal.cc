#include <algorithm>

#include "agent/signals/signal.h"
#include "agent/signals/statements.h"
#include "agent/signals/wal_history.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// Replication slots: how far their readers are behind, how much WAL they keep, and whether they are
// about to be lost for it.
class SlotSignal : public Signal {
 public:
  std::vector<SignalKind> kinds() const override {
    return {SignalKind::kSlotLag, SignalKind::kSlotLagBytes, SignalKind::kSlotLoss};
  }

  absl::Status Measure(pg::Connection& connection, absl::Duration now,
                       const std::vector<MeasuredRun>&,
                       std::vector<SignalSample>& samples) override {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result written, connection.Execute(sql::kWalPosition));
    history_.Note(now, written.Int(0, 0));
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result slots, connection.Execute(sql::kSlots));
    SignalSample lag{.kind = SignalKind::kSlotLag};
    SignalSample bytes{.kind = SignalKind::kSlotLagBytes};
    SignalSample loss{.kind = SignalKind::kSlotLoss};
    const auto keep_worst = [&](SignalSample& worst, size_t row, double value) {
      if (!worst.subject.empty() && value <= worst.value) return;
      worst.subject = slots.Text(row, 0);
      worst.value = value;
    };
    for (size_t row = 0; row < slots.rows.size(); ++row) {
      if (slots.Bool(row, 1) && !slots.IsNull(row, 2)) {
        keep_worst(lag, row, absl::ToDoubleSeconds(history_.BehindBy(now, slots.Int(row, 2))));
      }
      keep_worst(bytes, row, static_cast<double>(std::max<int64_t>(0, slots.Int(row, 3))));
      if (slots.IsNull(row, 5) || slots.Int(row, 6) <= 0) continue;
      const double used =
          1 - static_cast<double>(slots.Int(row, 5)) / static_cast<double>(slots.Int(row, 6));
      keep_worst(loss, row, slots.Bool(row, 4) ? std::max(used, 1.0) : std::max(used, 0.0));
    }
    samples.insert(samples.end(), {lag, bytes, loss});
    return absl::OkStatus();
  }

 private:
  WalHistory history_;
};

}  // namespace

std::unique_ptr<Signal> MakeSlotSignal() { return std::make_unique<SlotSignal>(); }

}  // namespace dunlin::agent
