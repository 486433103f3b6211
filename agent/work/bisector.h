#pragma once

#include <cstdint>
#include <string>

namespace dunlin::agent {

// Finds the row that fails inside a range that fails, by halving from its beginning; each half is a
// transaction of its own (a rollback to a savepoint would release the fence), so what passes on the
// way is done. Behind a row that was set aside it begins with one row again and doubles, so that
// neighbours that fail too cost one transaction each and a single one a dozen. Pure. Thread safety:
// one thread.
class Bisector {
 public:
  // So many rows that fail alone for one reason, one after the other with none between that
  // passes, are no longer a matter of rows: the batch as a whole cannot work (trap 7).
  static constexpr int kWholeBatch = 20;

  // Whether the size of the next range is the bisector's to choose: FindRows() rows, matching
  // `where` or not.
  bool active() const { return failing_ > 0 || growing_ > 0; }
  int64_t FindRows() const;

  // A range failed for which `asked` rows were asked, and in which `rows` are. True: it cannot be
  // halved, it is one key.
  bool Failed(int64_t asked, int64_t rows);
  // A range passed for which `asked` rows were asked, with `normal` rows the size of batches
  // otherwise.
  void Passed(int64_t asked, int64_t normal);
  // The one key that failed was set aside, for `reason`.
  void SetAside(const std::string& reason);
  // Whether setting aside one more for `reason` would make a whole batch of them.
  bool IsWholeBatch(const std::string& reason) const;

 private:
  int64_t failing_ = 0;  // rows of the smallest range from the cursor that is known to fail
  int64_t growing_ = 0;  // behind a row that was set aside
  std::string reason_;   // of the latest rows in a row that were set aside
  int in_a_row_ = 0;
};

}  // namespace dunlin::agent
