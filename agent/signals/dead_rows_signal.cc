#include <set>

#include "absl/strings/numbers.h"

#include "agent/signals/signal.h"
#include "agent/signals/statements.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// Whether vacuum keeps up on the tables in work.
class DeadRowsSignal : public Signal {
 public:
  std::vector<SignalKind> kinds() const override { return {SignalKind::kDeadRows}; }

  absl::Status Measure(pg::Connection& connection, absl::Duration,
                       const std::vector<MeasuredRun>& runs,
                       std::vector<SignalSample>& samples) override {
    std::set<std::string> tables;
    for (const MeasuredRun& run : runs) tables.insert(run.tables.begin(), run.tables.end());
    for (const std::string& table : tables) {
      DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, connection.Execute(sql::kDeadRows, {table}));
      SignalSample sample{.kind = SignalKind::kDeadRows, .subject = table};
      if (!absl::SimpleAtod(found.Text(0, 0), &sample.value)) sample.value = 0;
      samples.push_back(sample);
    }
    if (tables.empty()) samples.push_back({.kind = SignalKind::kDeadRows});
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Signal> MakeDeadRowsSignal() { return std::make_unique<DeadRowsSignal>(); }

}  // namespace dunlin::agent
