#include <map>

#include "absl/strings/numbers.h"

#include "agent/signals/signal.h"
#include "agent/signals/statements.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

double Seconds(const pg::Value& value) {
  double seconds = 0;
  return value && absl::SimpleAtod(*value, &seconds) ? seconds : 0;
}

// The oldest open and the oldest prepared transaction of the database (trap 15).
class TransactionSignal : public Signal {
 public:
  std::vector<SignalKind> kinds() const override {
    return {SignalKind::kOldestTransaction, SignalKind::kPreparedTransaction};
  }

  absl::Status Measure(pg::Connection& connection, absl::Duration now,
                       const std::vector<MeasuredRun>&,
                       std::vector<SignalSample>& samples) override {
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result open, connection.Execute(sql::kTransactionAges));
    SignalSample oldest{.kind = SignalKind::kOldestTransaction};
    std::map<std::string, absl::Duration> still_open;
    for (size_t row = 0; row < open.rows.size(); ++row) {
      const std::string& id = open.Text(row, 0);
      const auto known = first_seen_.find(id);
      const absl::Duration since = known == first_seen_.end() ? now : known->second;
      still_open[id] = since;
      const double age =
          open.IsNull(row, 2) ? absl::ToDoubleSeconds(now - since) : Seconds(open.rows[row][2]);
      if (oldest.subject.empty() || age > oldest.value) {
        oldest.value = age;
        oldest.subject = open.Text(row, 1);
      }
    }
    first_seen_ = std::move(still_open);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result found, connection.Execute(sql::kPreparedAges));
    SignalSample prepared{.kind = SignalKind::kPreparedTransaction};
    if (!found.rows.empty()) {
      prepared.subject = found.Text(0, 0);
      prepared.value = Seconds(found.rows[0][1]);
    }
    samples.insert(samples.end(), {oldest, prepared});
    return absl::OkStatus();
  }

 private:
  // Of transactions that are open now: no more than there are sessions (I10).
  std::map<std::string, absl::Duration> first_seen_;
};

}  // namespace

std::unique_ptr<Signal> MakeTransactionSignal() { return std::make_unique<TransactionSignal>(); }

}  // namespace dunlin::agent
