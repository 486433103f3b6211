#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "agent/ledger/statements.h"
#include "agent/task/task_runner.h"
#include "common/text/duration.h"

namespace dunlin::agent {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(100);
constexpr absl::string_view kPrepared = "prepared ";  // as sql::kOpenTransactions names them

using Transactions = std::map<std::string, std::string>;  // what names it to whom it belongs

absl::StatusOr<Transactions> OpenTransactions(pg::Connection& connection) {
  const absl::StatusOr<pg::Result> open = connection.Execute(sql::kOpenTransactions);
  if (!open.ok()) return open.status();
  Transactions transactions;
  for (size_t row = 0; row < open->rows.size(); ++row) {
    transactions[open->Text(row, 0)] = open->Text(row, 1);
  }
  return transactions;
}

// PREPARE TRANSACTION gives a transaction another name. Which one it was before cannot be asked, so
// whenever a remembered one is gone, all that have been prepared since the look before are it.
void FollowPrepared(const Transactions& before, const Transactions& now, Transactions& remembered) {
  const size_t gone = std::erase_if(
      remembered, [&](const auto& transaction) { return !now.contains(transaction.first); });
  if (gone == 0) return;
  for (const auto& transaction : now) {
    if (absl::StartsWith(transaction.first, kPrepared) && !before.contains(transaction.first))
      remembered.insert(transaction);
  }
}

}  // namespace

// A row that one of the remembered transactions inserts into a passed range would be missed, and it
// may still run the code from before the deploy. CREATE INDEX CONCURRENTLY waits the same way.
std::optional<TaskResult> WaitForBarrier(const TaskContext& context, pg::Connection& connection) {
  const absl::Duration began = context.clock.Monotonic();
  auto remembered = OpenTransactions(connection);
  if (!remembered.ok())
    return ResultFromStatus(remembered.status(), "looking for open transactions");
  Transactions before = *remembered;
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
    FollowPrepared(before, *open, *remembered);
    before = *std::move(open);
  }
  context.handle.SetWaiting("");
  return std::nullopt;
}

}  // namespace dunlin::agent
