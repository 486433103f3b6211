#include <map>
#include <string>

#include "absl/strings/str_cat.h"

#include "agent/ledger/statements.h"
#include "agent/task/task_runner.h"
#include "common/text/duration.h"

namespace dunlin::agent {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(100);

absl::StatusOr<std::map<std::string, std::string>> OpenTransactions(pg::Connection& connection) {
  const absl::StatusOr<pg::Result> open = connection.Execute(sql::kOpenTransactions);
  if (!open.ok()) return open.status();
  std::map<std::string, std::string> transactions;
  for (size_t row = 0; row < open->rows.size(); ++row) {
    transactions[open->Text(row, 0)] = open->Text(row, 1);
  }
  return transactions;
}

}  // namespace

// A row that one of the remembered transactions inserts into a passed range would be missed, and it
// may still run the code from before the deploy. CREATE INDEX CONCURRENTLY waits the same way.
std::optional<TaskResult> WaitForBarrier(const TaskContext& context, pg::Connection& connection) {
  const absl::Duration began = context.clock.Monotonic();
  auto remembered = OpenTransactions(connection);
  if (!remembered.ok())
    return ResultFromStatus(remembered.status(), "looking for open transactions");
  while (!remembered->empty()) {
    const absl::Duration waited = context.clock.Monotonic() - began;
    const std::string& who = remembered->begin()->second;
    if (waited > context.definition.limits.barrier_timeout) {
      return Problem{.kind = Problem::Kind::kPause,
                     .message = absl::StrCat(
                         who, " has held a transaction open for ", HumanDuration(waited),
                         " since before the run (limits.barrier_timeout); end it, then resume")};
    }
    context.handle.SetWaiting(absl::StrCat("waits for the transaction of ", who,
                                           ", which was open before the run, for ",
                                           HumanDuration(waited)));
    if (!context.handle.Wait(kPoll)) return std::monostate{};
    auto open = OpenTransactions(connection);
    if (!open.ok()) return ResultFromStatus(open.status(), "looking for open transactions");
    for (auto it = remembered->begin(); it != remembered->end();) {
      it = open->contains(it->first) ? std::next(it) : remembered->erase(it);
    }
  }
  context.handle.SetWaiting("");
  return std::nullopt;
}

}  // namespace dunlin::agent
