#include "absl/strings/str_cat.h"

#include "agent/signals/signal.h"
#include "agent/signals/statements.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

// The query of a file's own (`on_pressure.check`): true = go on. In a transaction that may only
// read.
class CheckSignal : public Signal {
 public:
  std::vector<SignalKind> kinds() const override { return {}; }

  absl::Status Measure(pg::Connection& connection, absl::Duration,
                       const std::vector<MeasuredRun>& runs,
                       std::vector<SignalSample>& samples) override {
    for (const MeasuredRun& run : runs) {
      SignalSample sample{.kind = SignalKind::kCheck, .subject = run.id.value()};
      if (!run.refused.empty()) {
        sample.not_measured = run.refused;
      } else if (run.definition == nullptr || !run.definition->on_pressure.check) {
        continue;
      } else if (const absl::Status asked =
                     Ask(connection, run.definition->on_pressure.check->sql, sample);
                 !asked.ok()) {
        if (connection.broken()) return asked;
        sample.not_measured = std::string(asked.message());
      }
      samples.push_back(sample);
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status Ask(pg::Connection& connection, const std::string& query,
                          SignalSample& sample) {
    DUNLIN_RETURN_IF_ERROR(connection.Query(sql::kBeginCheck).status());
    const absl::StatusOr<pg::Result> answer = connection.Query(query);
    if (connection.broken()) return answer.status();
    DUNLIN_RETURN_IF_ERROR(connection.Query(sql::kEndCheck).status());
    DUNLIN_RETURN_IF_ERROR(answer.status());
    if (answer->rows.size() != 1 || answer->columns.size() != 1) {
      return absl::FailedPreconditionError(absl::StrCat("it answers ", answer->rows.size(),
                                                        " rows of ", answer->columns.size(),
                                                        " columns; expected one true or false"));
    }
    sample.value = answer->rows[0][0].value_or("f") == "t" ? 0 : 1;
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Signal> MakeCheckSignal() { return std::make_unique<CheckSignal>(); }

}  // namespace dunlin::agent
