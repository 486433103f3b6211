// The predicate that binds a statement to a range of keys (lower, upper].
#pragma once

#include <functional>
#include <string>
#include <variant>
#include <vector>

namespace dunlin {

// What a `$n` of a rendered statement stands for.
struct LowerBound {
  int column;  // 0-based key column
  bool operator==(const LowerBound&) const = default;
};
struct UpperBound {
  int column;
  bool operator==(const UpperBound&) const = default;
};
struct NamedParameter {
  std::string name;  // a declared parameter, or "started_at"
  bool operator==(const NamedParameter&) const = default;
};
using ParameterRef = std::variant<LowerBound, UpperBound, NamedParameter>;

// Which form of the predicate fits two bounds.
struct KeyRangeShape {
  bool has_lower = true;  // false: the range begins at the beginning, only `key <= upper`
  int common = 0;         // so many leading columns have one and the same value in both bounds
  bool one_key = false;   // the upper bound alone, by equality: the rows of one key value
};

// The predicate, in parentheses. `columns` as SQL; `number` gives a parameter its "$n".
//
// One column: `a > $1 AND a <= $2`. Columns that both bounds share are equalities. Of several that
// differ the row comparison decides, `(a, b) > ($1, $2) AND (a, b) <= ($3, $4)` (trap 2), but it
// alone is not enough: PostgreSQL multiplies the selectivities of the two halves as if they were
// independent, so it prefers to scan the whole table, and a scan by the upper half ends only where
// the *first* column changes, so a batch reads the rest of a group of equal first columns
// (nbtutils.c, _bt_check_rowcompare). So the arms of the range are said too, each a plain range
// that an index follows and that is estimated well: `a = $1 AND b > $2`, `a > $1 AND a < $3`,
// `a = $3 AND b <= $4`. The arms alone would be wrong for bounds that are equal by value and differ
// as text (1.0 and 1.00); with the row comparison AND-ed they need only hold every row of the
// range, and they do.
std::string KeyRangeSql(const std::vector<std::string>& columns, KeyRangeShape shape,
                        const std::function<std::string(const ParameterRef&)>& number);

// "(a, b)"; a single one stays as it is.
std::string RowSql(const std::vector<std::string>& items);

}  // namespace dunlin
