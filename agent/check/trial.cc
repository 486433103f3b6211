#include "agent/check/trial.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "agent/check/judgement.h"
#include "agent/check/probe.h"
#include "agent/check/statements.h"
#include "agent/ledger/statements.h"
#include "agent/task/sampling.h"
#include "agent/work/batch_runner.h"
#include "agent/work/error_action.h"
#include "common/status_macros.h"
#include "common/text/duration.h"

namespace dunlin::agent {
namespace {

using Severity = Finding::Severity;

// Looked at row by row: enough to meet the usual kinds of rows, little enough to send.
constexpr int64_t kRowsLookedAt = 100;
// When so many are not done in time.
constexpr int64_t kFewRows = 10;
constexpr size_t kChangesShown = 5;
// Places in the table where something to do is looked for.
constexpr int kPlaces = 8;
// Indexes on the columns that change, from which on they cost more than the rows themselves.
constexpr size_t kManyIndexes = 3;

struct Range {
  OptionalKey lower;
  KeyText upper;
  int64_t rows = 0;  // matching `where`
  int64_t all = 0;
};

class Trial {
 public:
  Trial(pg::Connection& connection, const TrialSubject& subject, absl::Duration budget,
        std::vector<Finding>& findings)
      : connection_(connection), subject_(subject), budget_(budget), findings_(findings) {}

  absl::StatusOr<StepTrial> Run() {
    trial_.table = subject_.relation == nullptr ? "" : subject_.relation->name_sql;
    if (subject_.relation == nullptr) {
      DUNLIN_RETURN_IF_ERROR(TryOnce());
      return std::move(trial_);
    }
    DUNLIN_ASSIGN_OR_RETURN(
        const pg::Result tree,
        connection_.Execute(sql::kTreeOids, {absl::StrCat(subject_.relation->oid)}));
    for (size_t row = 0; row < tree.rows.size(); ++row)
      own_.insert(static_cast<pg::Oid>(tree.Int(row, 0)));
    DUNLIN_ASSIGN_OR_RETURN(
        const Filter filter,
        MakeFilter(subject_.step, *subject_.relation, subject_.declared, subject_.parameters));
    DUNLIN_ASSIGN_OR_RETURN(keys_,
                            PlanKeySpace(connection_, *subject_.relation, filter, 1, 1, kPlaces));
    if (keys_.uppers.empty()) return std::move(trial_);
    DUNLIN_RETURN_IF_ERROR(TryBatches());
    return std::move(trial_);
  }

 private:
  absl::StatusOr<Range> RangeFrom(const OptionalKey& lower, int64_t rows) {
    const KeyText& last = keys_.uppers.back();
    const pg::Command look_up = subject_.sql.BoundaryCommand(lower, last, rows);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                            connection_.Execute(look_up.statement, look_up.parameters));
    bool exact = false;
    DUNLIN_ASSIGN_OR_RETURN(const Boundary boundary,
                            subject_.sql.DecodeBoundary(found, last, rows, exact));
    Range range{.lower = lower, .upper = boundary.upper};
    const pg::Command count = subject_.sql.CountCommand(lower, range.upper);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result counted,
                            connection_.Execute(count.statement, count.parameters));
    range.rows = counted.Int(0, 0);
    range.all = counted.Int(0, 1);
    return range;
  }

  absl::StatusOr<Probe> Look(const Range& range, const ProbeOptions& options) {
    return RunProbe(connection_, subject_.sql, range.lower, OptionalKey(range.upper), budget_,
                    options);
  }

  static bool TimedOut(const Probe& probe) { return pg::SqlStateOf(probe.status) == "57014"; }

  // From several places of the table on, until one has something to do.
  absl::Status TryBatches() {
    std::vector<OptionalKey> places = {OptionalKey()};
    for (const KeyText& upper : keys_.uppers) places.emplace_back(upper);
    places.pop_back();
    std::optional<Range> range;
    std::optional<Probe> probe;
    int64_t rows = kRowsLookedAt;
    for (const OptionalKey& place : places) {
      DUNLIN_ASSIGN_OR_RETURN(range, RangeFrom(place, rows));
      DUNLIN_ASSIGN_OR_RETURN(probe, Look(*range, {.images = kRowsLookedAt * 2, .twice = true}));
      // Twice may be too much for one transaction.
      if (TimedOut(*probe)) {
        DUNLIN_ASSIGN_OR_RETURN(probe, Look(*range, {.images = kRowsLookedAt * 2}));
      }
      if (TimedOut(*probe) && rows == kRowsLookedAt) {
        rows = kFewRows;
        DUNLIN_ASSIGN_OR_RETURN(range, RangeFrom(place, rows));
        DUNLIN_ASSIGN_OR_RETURN(probe, Look(*range, {.images = kRowsLookedAt}));
      }
      if (!probe->status.ok() || probe->rows_changed > 0) break;
    }
    trial_.rows = range->rows;
    whole_ = range->all <= kRowsLookedAt * 2;
    if (!probe->status.ok()) {
      SayWhyItFailed(*probe, range->rows);
      return absl::OkStatus();
    }
    if (rows < kRowsLookedAt) SaySlow(*probe, range->rows);
    std::vector<std::string> key;
    for (const KeyColumn& column : subject_.relation->key) key.push_back(column.name);
    const std::vector<RowChange> changes = CompareImages(key, probe->before, probe->after);
    Describe(*probe, changes);
    SayWhatItDid(*probe, changes);
    DUNLIN_RETURN_IF_ERROR(SayHot(*probe, changes));
    return TimeFullBatch(*range, *probe, changes);
  }

  absl::Status TryOnce() {
    DUNLIN_ASSIGN_OR_RETURN(const Probe probe, RunProbe(connection_, subject_.sql, std::nullopt,
                                                        std::nullopt, budget_, {.twice = true}));
    if (!probe.status.ok()) {
      SayWhyItFailed(probe, 0);
      return absl::OkStatus();
    }
    trial_.rows_changed = probe.rows_changed;
    trial_.effects = DescribeEffects(probe.effects);
    trial_.again = JudgeAgain(probe, {}, true);
    SayIdempotence();
    return absl::OkStatus();
  }

  void Describe(const Probe& probe, const std::vector<RowChange>& changes) {
    trial_.rows_changed = probe.rows_changed;
    trial_.effects = DescribeEffects(probe.effects);
    const size_t shown = std::min(kChangesShown, changes.size());
    trial_.changes.assign(changes.begin(), changes.begin() + static_cast<std::ptrdiff_t>(shown));
    trial_.again = JudgeAgain(probe, own_, whole_);
  }

  void Add(Severity severity, std::string message, std::string why, std::string advice) {
    findings_.push_back({severity,
                         trial_.table.empty() ? "once" : absl::StrCat("a batch of ", trial_.table),
                         std::move(message), std::move(why), std::move(advice)});
  }

  void SayWhyItFailed(const Probe& probe, int64_t rows) {
    const std::string state = pg::SqlStateOf(probe.status);
    const std::string what = absl::StrCat(probe.failed, " fails: ", probe.status.message());
    if (TimedOut(probe)) {
      return Add(Severity::kError,
                 rows == 0 ? absl::StrCat("its statements are not done within ",
                                          dunlin::FormatDuration(budget_))
                           : absl::StrCat(probe.failed, " does not do ", rows, " rows within ",
                                          dunlin::FormatDuration(budget_)),
                 "a transaction with row locks must end before others wait for it too long "
                 "(0.8 of deadlock_timeout): such a batch never commits",
                 rows == 0 ? "do less in it, or make it a step with table and batch"
                           : "give the statement an index for what it looks up for each row; see "
                             "its plan with EXPLAIN");
    }
    if (state == "55P03" || state == "40P01") {
      return Add(Severity::kNote, absl::StrCat(what, ", so nothing of it was timed"),
                 "another session has these rows locked; a run would try again, smaller", "");
    }
    if (ClassifyError(probe.status) == ErrorAction::kBisect) {
      return Add(Severity::kWarning, what,
                 "a run sets such rows aside one by one and ends PAUSED when there are any",
                 "mend the rows before, or let the statement leave them out in its WHERE");
    }
    Add(Severity::kError, what, "the run would fail at once", "");
  }

  void SaySlow(const Probe& probe, int64_t rows) {
    Add(Severity::kWarning,
        absl::StrCat(rows, " rows take ",
                     dunlin::FormatDuration(absl::Trunc(probe.took, absl::Milliseconds(1))),
                     ", and ", kRowsLookedAt, " are not done within ",
                     dunlin::FormatDuration(budget_)),
        "each row looks up too much; the run would take small batches, and long",
        "give the statement an index for what it looks up for each row; see its plan with EXPLAIN");
  }

  void SayWhatItDid(const Probe& probe, const std::vector<RowChange>& changes) {
    if (MovesKeys(probe)) {
      Add(Severity::kError, "its statements change the key of rows",
          "a row that moves ahead of the cursor is done again, one that moves behind it is not "
          "done",
          "choose another key with `key: [column]`, or write the new key in a new table");
    }
    if (probe.rows_changed == 0) {
      Add(Severity::kNote, "the batches that were tried changed no row",
          "either all is done already, or the conditions match nothing here", "");
    }
    for (const TableEffect& effect : probe.effects) {
      const bool writes_nothing =
          whole_ && changes.empty() && effect.updated > 0 && own_.contains(effect.oid);
      if (!writes_nothing) continue;
      Add(Severity::kWarning,
          absl::StrCat("it writes ", effect.updated, " rows of ", effect.table,
                       " and changes nothing in them"),
          "writing a row costs the same whether its values change or not: WAL, dead rows, replicas",
          "leave such rows out: AND column IS DISTINCT FROM value");
    }
    SayIdempotence();
  }

  void SayIdempotence() {
    if (trial_.again == StepTrial::Again::kChanges && subject_.definition.idempotent) {
      Add(Severity::kError, "the file says `idempotent: true`, but a second run changes rows again",
          "`redo` relies on that word and would change them twice",
          "take the line out, or leave out of the WHERE what is done: AND column IS NULL");
    }
    if (trial_.again == StepTrial::Again::kNothing && !subject_.definition.idempotent) {
      Add(Severity::kNote, "a second run of the same batch changed nothing more",
          "with `idempotent: true` it can be run again by `redo` without further questions", "");
    }
  }

  // Trap 14: what decides the speed is whether a new row version finds room on its page, and needs
  // no new index entries.
  absl::Status SayHot(const Probe& probe, const std::vector<RowChange>& changes) {
    int64_t updated = 0, hot = 0;
    for (const TableEffect& effect : probe.effects) {
      if (!own_.contains(effect.oid)) continue;
      updated += effect.updated;
      hot += effect.hot;
    }
    if (updated == 0 || hot * 2 > updated) return absl::OkStatus();
    const std::set<std::string> columns = ChangedColumns(changes);
    std::vector<std::string> names(columns.begin(), columns.end());
    DUNLIN_ASSIGN_OR_RETURN(
        const pg::Result found,
        connection_.Execute(sql::kIndexesOn,
                            {absl::StrCat(subject_.relation->oid), pg::EncodeTextArray(names)}));
    std::vector<std::string> indexes;
    for (size_t row = 0; row < found.rows.size(); ++row) indexes.push_back(found.Text(row, 0));
    const std::string share = absl::StrCat(updated - hot, " of ", updated, " updates were not HOT");
    if (!indexes.empty()) {
      Add(indexes.size() >= kManyIndexes ? Severity::kWarning : Severity::kNote,
          absl::StrCat(share, ": ", absl::StrJoin(indexes, ", "), " hold",
                       indexes.size() == 1 ? "s" : "", " columns that change (",
                       absl::StrJoin(names, ", "), ")"),
          "every index of the table gets a new entry for each such row: three more indexes cost up "
          "to six times the time and the WAL",
          "create these indexes after the run, with CREATE INDEX CONCURRENTLY, where the "
          "application "
          "can wait for them");
      return absl::OkStatus();
    }
    Add(Severity::kNote, absl::StrCat(share, ": their pages have no room"),
        "a HOT update costs a half to a third; room appears as vacuum removes old versions, so "
        "slower is cheaper",
        "ALTER TABLE … SET (fillfactor = 90) leaves room on pages to come");
    return absl::OkStatus();
  }

  // One as large as a run would make it, timed, and from it what all of them will cost.
  absl::Status TimeFullBatch(const Range& looked_at, const Probe& looked,
                             const std::vector<RowChange>& changes) {
    int64_t rows = RowsFor(std::min(subject_.definition.limits.batch_time, budget_ / 4),
                           std::max<int64_t>(1, looked_at.rows), looked.took);
    std::optional<Range> range;
    std::optional<Probe> timed;
    for (int tries = 0; tries < 3; ++tries, rows = std::max<int64_t>(1, rows / 4)) {
      DUNLIN_ASSIGN_OR_RETURN(range, RangeFrom(looked_at.lower, rows));
      DUNLIN_ASSIGN_OR_RETURN(timed, Look(*range, {}));
      if (timed->status.ok()) break;
    }
    if (!timed->status.ok()) return absl::OkStatus();  // a row behind those looked at; not timed
    const Measured measured{.rows = std::max(keys_.rows_total, range->rows),
                            .batch_rows = std::max<int64_t>(1, range->rows),
                            .concurrency = subject_.definition.limits.concurrency};
    trial_.estimate = MakeEstimate(measured, *timed, looked, changes);
    return absl::OkStatus();
  }

  pg::Connection& connection_;
  const TrialSubject& subject_;
  const absl::Duration budget_;
  std::vector<Finding>& findings_;
  std::set<pg::Oid> own_;
  KeyPlan keys_;
  bool whole_ = false;  // all rows of the batch were looked at
  StepTrial trial_;
};

}  // namespace

absl::StatusOr<StepTrial> TryStep(pg::Connection& connection, const TrialSubject& subject,
                                  std::vector<Finding>& findings) {
  DUNLIN_ASSIGN_OR_RETURN(const absl::Duration budget, ReadBatchBudget(connection));
  return Trial(connection, subject, budget, findings).Run();
}

}  // namespace dunlin::agent
