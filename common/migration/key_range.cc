#include "common/migration/key_range.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace dunlin {
namespace {

class Writer {
 public:
  Writer(const std::vector<std::string>& columns, KeyRangeShape shape,
         const std::function<std::string(const ParameterRef&)>& number)
      : columns_(columns), shape_(shape), number_(number) {}

  std::string Write() const {
    if (shape_.one_key) return WriteOneKey();
    const int first = shape_.has_lower ? shape_.common : 0;
    const int last = static_cast<int>(columns_.size()) - 1;
    std::vector<std::string> all;
    for (int i = 0; i < first; ++i) all.push_back(Compare(i, "=", Lower(i)));
    std::vector<std::string> rest, lowers, uppers;
    for (int i = first; i <= last; ++i) {
      rest.push_back(columns_[static_cast<size_t>(i)]);
      if (shape_.has_lower) lowers.push_back(Lower(i));
    }
    for (int i = first; i <= last; ++i) uppers.push_back(Upper(i));
    if (shape_.has_lower) all.push_back(absl::StrCat(RowSql(rest), " > ", RowSql(lowers)));
    all.push_back(absl::StrCat(RowSql(rest), " <= ", RowSql(uppers)));
    if (first < last) all.push_back(absl::StrCat("(", absl::StrJoin(Arms(first), " OR "), ")"));
    return absl::StrCat("(", absl::StrJoin(all, " AND "), ")");
  }

 private:
  std::string WriteOneKey() const {
    std::vector<std::string> all;
    for (int i = 0; i < static_cast<int>(columns_.size()); ++i)
      all.push_back(Compare(i, "=", Upper(i)));
    return absl::StrCat("(", absl::StrJoin(all, " AND "), ")");
  }
  std::string Lower(int i) const { return number_(LowerBound{i}); }
  std::string Upper(int i) const { return number_(UpperBound{i}); }
  std::string Compare(int i, const char* how, const std::string& with) const {
    return absl::StrCat(columns_[static_cast<size_t>(i)], " ", how, " ", with);
  }

  // Behind the lower bound within its groups, from the innermost out; between both; up to the upper
  // bound within its groups.
  std::vector<std::string> Arms(int first) const {
    const int last = static_cast<int>(columns_.size()) - 1;
    std::vector<std::string> arms;
    for (int at = last; shape_.has_lower && at > first; --at) {
      std::string arm;
      for (int i = first; i < at; ++i) absl::StrAppend(&arm, Compare(i, "=", Lower(i)), " AND ");
      arms.push_back(absl::StrCat(arm, Compare(at, ">", Lower(at))));
    }
    arms.push_back(absl::StrCat(
        shape_.has_lower ? absl::StrCat(Compare(first, ">", Lower(first)), " AND ") : "",
        Compare(first, "<", Upper(first))));
    for (int at = first + 1; at <= last; ++at) {
      std::string arm;
      for (int i = first; i < at; ++i) absl::StrAppend(&arm, Compare(i, "=", Upper(i)), " AND ");
      arms.push_back(absl::StrCat(arm, Compare(at, at == last ? "<=" : "<", Upper(at))));
    }
    return arms;
  }

  const std::vector<std::string>& columns_;
  const KeyRangeShape shape_;
  const std::function<std::string(const ParameterRef&)>& number_;
};

}  // namespace

std::string RowSql(const std::vector<std::string>& items) {
  return items.size() == 1 ? items[0] : absl::StrCat("(", absl::StrJoin(items, ", "), ")");
}

std::string KeyRangeSql(const std::vector<std::string>& columns, KeyRangeShape shape,
                        const std::function<std::string(const ParameterRef&)>& number) {
  return Writer(columns, shape, number).Write();
}

}  // namespace dunlin
