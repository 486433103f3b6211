// The statements of one step over one relation, with everything bound that can be: made once per
// lease, run per batch.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "agent/ledger/relation.h"
#include "agent/work/images.h"
#include "common/key_text.h"
#include "common/migration/definition.h"
#include "common/migration/sql_template.h"
#include "common/pg/connection.h"

namespace dunlin::agent {

// Declared parameters with their types on this target, and `:started_at`.
struct BoundParameters {
  std::map<std::string, std::string> values;
  std::map<std::string, pg::Oid> types;
};
absl::StatusOr<BoundParameters> ResolveParameters(pg::Connection& connection,
                                                  const Definition& definition,
                                                  const std::map<std::string, std::string>& values,
                                                  const std::string& started_at);

// A rendered statement: prepared once, bound per batch.
struct BoundStatement {
  pg::Statement statement;
  std::vector<ParameterRef> parameters;
  bool counts = false;  // its own count goes into rows_changed
};

// A statement over a range of keys, in every form that two bounds may need (KeyRangeShape).
struct RangeStatement {
  BoundStatement first;                   // without a lower bound
  std::vector<BoundStatement> by_common;  // by the number of leading columns that the bounds share
  BoundStatement one_key;                 // the rows of one key value, the upper bound
  const BoundStatement& For(const OptionalKey& lower, const KeyText& upper) const;
};

// The name of a prepared statement for people: "m_batch1_first" → "batch statement 2".
std::string PlainStatementName(absl::string_view name);

// How far a batch goes.
struct Boundary {
  KeyText upper;      // of the batch
  int64_t rows = 0;   // rows in it (matching `where`)
  bool last = false;  // it is the shard's end
  int64_t asked = 0;  // how many were asked for
};

class StepSql {
 public:
  // Rows looked at, at most, to find the end of a batch when `where` matches few.
  static constexpr int64_t kMaxRowsLookedAt = 50'000;

  // For a step over a relation.
  static absl::StatusOr<StepSql> Make(const StepDefinition& step, const Relation& relation,
                                      const std::vector<std::string>& declared,
                                      BoundParameters parameters, const BeforeImages& images = {});
  // For a `once` step.
  static absl::StatusOr<StepSql> MakeOnce(const StepDefinition& step,
                                          const std::vector<std::string>& declared,
                                          BoundParameters parameters);

  // Locks (if any) and the statements of a batch over (lower, upper], between what remembers and
  // what keeps before-images.
  std::vector<const BoundStatement*> BatchStatements(const OptionalKey& lower,
                                                     const KeyText& upper) const;
  // The same over the rows of one key value; bound with it as the upper bound.
  std::vector<const BoundStatement*> KeyStatements() const;
  const std::vector<BoundStatement>& once() const { return once_; }
  bool has_where() const { return has_where_; }
  std::optional<BoundStatement> verify_whole() const { return verify_whole_; }
  const RangeStatement* verify_range() const { return verify_ ? &*verify_ : nullptr; }

  // The command that finds the end of a batch of about `rows` rows behind `lower`, not beyond
  // `upper`. `every_row`: also of rows that do not match `where`, so that 1 is the next key.
  pg::Command BoundaryCommand(const OptionalKey& lower, const KeyText& upper, int64_t rows,
                              bool every_row = false) const;
  // What it answered. `rows_exact` false: rows must still be counted (a shard's end, or a key that
  // is not unique).
  absl::StatusOr<Boundary> DecodeBoundary(const pg::Result& result, const KeyText& upper,
                                          int64_t rows, bool& rows_exact) const;
  // Answers two counts: rows matching `where`, all rows.
  pg::Command CountCommand(const OptionalKey& lower, const KeyText& upper) const;

  // For `check`: the last rows of a range (where `where` matches few, its upper bound is one that
  // matches), each as key (text[]), as JSON, and its size in bytes.
  pg::Command RowsCommand(const OptionalKey& lower, const KeyText& upper, int64_t limit) const;

  pg::Command Bind(const BoundStatement& statement, const OptionalKey& lower,
                   const OptionalKey& upper) const;
  // All statements, for PREPARE.
  std::vector<pg::Statement> AllStatements() const;

 private:
  BoundStatement Render(const SqlTemplate& sql, const std::string& name, KeyRangeShape shape,
                        int first_parameter = 1) const;
  absl::StatusOr<RangeStatement> RenderRange(const SqlText& text, const std::string& name,
                                             const std::vector<std::string>& declared) const;
  // `before`, the predicate of the range, `after`; `more`: parameters that `before` and `after` use
  // behind those of the range.
  using TextOf = std::function<std::string(const std::string& range, int parameters)>;
  RangeStatement MakeRange(const std::string& name, const TextOf& text,
                           const std::vector<ParameterRef>& more = {}) const;
  void MakeImages(const BeforeImages& images);
  absl::Status MakeBoundary(const StepDefinition& step, const std::vector<std::string>& declared);
  BoundStatement BoundaryFor(bool has_lower, const SqlTemplate* where,
                             const std::string& name) const;
  pg::Oid TypeOf(const ParameterRef& ref) const;
  // Every form of a range statement over this key.
  template <typename MakeOne>
  RangeStatement EachShape(const MakeOne& make) const;

  Relation relation_;
  BoundParameters parameters_;
  bool has_where_ = false;
  std::vector<RangeStatement> locks_;
  std::vector<RangeStatement> batch_;
  std::optional<RangeStatement> remember_, keep_;  // before-images
  std::optional<RangeStatement> verify_;
  std::optional<BoundStatement> verify_whole_;
  std::vector<BoundStatement> once_;
  BoundStatement boundary_first_, boundary_;
  BoundStatement every_row_first_, every_row_;  // without `where`
  RangeStatement count_, rows_;
};

// Puts line and column of the file before what a template says of a statement.
absl::Status AtFilePosition(const absl::Status& status, const SqlText& text);

}  // namespace dunlin::agent
