#include "agent/check/plan_check.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "agent/check/plan_advice.h"
#include "agent/check/statements.h"
#include "agent/ledger/statements.h"
#include "agent/task/sampling.h"
#include "common/migration/significant_tokens.h"
#include "common/migration/sql_lexer.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {

using Severity = Finding::Severity;

// A `verify` over more rows in one statement holds its snapshot for minutes.
constexpr int64_t kManyRows = 1'000'000;

// Bounds of a batch that this table could have; nullopt when it is empty.
struct SampleRange {
  OptionalKey lower, upper;
};
absl::StatusOr<std::optional<SampleRange>> FindSampleRange(pg::Connection& connection,
                                                           const Relation& relation,
                                                           const StepSql& sql) {
  constexpr int64_t kRows = 1'000;
  DUNLIN_ASSIGN_OR_RETURN(const KeyPlan keys, PlanKeySpace(connection, relation, Filter(), 1, 1));
  if (keys.uppers.empty()) return std::optional<SampleRange>();
  const KeyText& last = keys.uppers.back();
  SampleRange range;
  for (OptionalKey* end : {&range.lower, &range.upper}) {
    const pg::Command look_up = sql.BoundaryCommand(range.lower, last, kRows);
    DUNLIN_ASSIGN_OR_RETURN(const pg::Result found,
                            connection.Execute(look_up.statement, look_up.parameters));
    bool exact = false;
    DUNLIN_ASSIGN_OR_RETURN(const Boundary boundary, sql.DecodeBoundary(found, last, kRows, exact));
    *end = boundary.upper;
  }
  return std::optional<SampleRange>(range);
}

// Constants, and the key of the row, which never changes: nothing that could be old.
bool CopiesKeysOnly(const PlanFacts& facts, const Relation& relation) {
  if (facts.inserted.empty()) return false;
  return std::all_of(facts.inserted.begin(), facts.inserted.end(), [&](const std::string& output) {
    if (output.empty() || output[0] == '\'' || absl::ascii_isdigit(output[0]) ||
        absl::StartsWith(output, "NULL::") || absl::StartsWith(output, "$"))
      return true;
    return std::any_of(relation.key.begin(), relation.key.end(), [&](const KeyColumn& column) {
      return output == column.name_sql || absl::EndsWith(output, "." + column.name_sql);
    });
  });
}

class PlanJudge {
 public:
  PlanJudge(pg::Connection& connection, const Relation& relation, TableUse& use,
            std::vector<Finding>& findings)
      : connection_(connection), relation_(relation), use_(use), findings_(findings) {}

  // The step's table, or one below it, as "schema.name".
  void AddOwn(const std::string& name) { own_.insert(name); }

  // Small tables are scanned whatever the statement says, so scans are made expensive before: one
  // that is left cannot use the key. `locks`: the rows are locked before.
  absl::Status Judge(const pg::Command& command, const std::string& name, bool locks) {
    pg::Statement explain = command.statement;
    explain.name = "";
    explain.sql = absl::StrCat("EXPLAIN (FORMAT JSON, VERBOSE, COSTS off) ", explain.sql);
    const absl::StatusOr<pg::Result> plan = connection_.Execute(explain, command.parameters);
    if (!plan.ok()) return Refused(plan.status(), name);
    DUNLIN_ASSIGN_OR_RETURN(const PlanFacts facts, ReadPlan(plan->Text(0, 0)));
    for (const std::string& operation : facts.operations) {
      use_.deletes = use_.deletes || operation == "DELETE" || operation == "MERGE";
      use_.updates = use_.updates || operation == "UPDATE" || operation == "MERGE";
    }
    SayReadWhole(facts, name);
    if (!locks) SayCopied(facts, name);
    // It has locked those of its rows that it wrote, for the statements behind it.
    written_ = written_ || use_.updates || use_.deletes;
    return absl::OkStatus();
  }

  // What the server says in place of a plan; other errors are the connection's.
  absl::Status Refused(const absl::Status& status, const std::string& name) {
    if (!pg::GetServerError(status)) return status;
    use_.updates = use_.deletes = true;  // not known
    const bool denied = pg::SqlStateOf(status) == "42501";
    findings_.push_back(
        {Severity::kError, name,
         absl::StrCat(denied ? "the role may not run it: " : "the server does not plan it: ",
                      status.message()),
         "a run would fail at once",
         denied ? "GRANT what it needs (SELECT, and INSERT, UPDATE or DELETE) on that table to the "
                  "agents' role; if agents connect as another role, check as that one"
                : ""});
    return absl::OkStatus();
  }

 private:
  void SayReadWhole(const PlanFacts& facts, const std::string& name) {
    for (const std::string& relation : facts.read_whole) {
      if (own_.contains(relation)) {
        findings_.push_back(
            {Severity::kError, name,
             absl::StrCat("its plan reads the whole of ", relation, " for every batch"),
             "the time grows with the square of the table, and a batch outlives what it may take",
             "AND :batch at the top of the WHERE that reads the table"});
        continue;
      }
      findings_.push_back(
          {Severity::kNote, name,
           absl::StrCat("its plan reads the whole of ", relation, " for every batch"),
           "that is fine while it is small",
           "if it is not, join it by columns that it has an index on"});
    }
  }

  void SayCopied(const PlanFacts& facts, const std::string& name) {
    if (CopiesKeysOnly(facts, relation_)) return;
    for (const std::string& relation : facts.copied_from) {
      const bool locked = written_ && own_.contains(relation);
      findings_.push_back(
          {locked ? Severity::kNote : Severity::kWarning, name,
           absl::StrCat("it computes what it writes from rows of ", relation,
                        ", which the application may change at the same moment"),
           locked ? "rows that an earlier statement of the batch has written are locked; others "
                    "are not"
                  : "the statement reads an old version of such a row, waits, and then writes the "
                    "older value over the newer one; nothing fails",
           "add `lock: true`, or a list of SELECT … FOR NO KEY UPDATE of those rows"});
    }
  }

  pg::Connection& connection_;
  const Relation& relation_;
  TableUse& use_;
  std::vector<Finding>& findings_;
  std::set<std::string> own_;
  bool written_ = false;
};

absl::Status CheckWholeVerify(pg::Connection& connection, const Relation& relation,
                              const StepSql& sql, std::vector<Finding>& findings) {
  if (!sql.verify_whole()) return absl::OkStatus();
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result known,
                          connection.Execute(sql::kRowsKnown, {absl::StrCat(relation.oid)}));
  if (known.Int(0, 0) < kManyRows) return absl::OkStatus();
  findings.push_back(
      {Severity::kWarning, "verify",
       absl::StrCat("it looks at all of about ", known.Int(0, 0), " rows in one statement"),
       "that takes minutes, holds its snapshot as long (vacuum cleans nothing "
       "meanwhile), and begins again when it is interrupted",
       "AND :batch in its WHERE: then it adds up over ranges"});
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFunctions(pg::Connection& connection, const SqlText& text,
                            const std::string& name, std::vector<Finding>& findings) {
  const LexedSql lexed = LexSql(text.sql, {});
  const SignificantTokens significant(lexed.tokens);
  std::vector<std::string> called;
  for (size_t i = 0; i < significant.size(); ++i) {
    if (significant[i].kind == SqlToken::Kind::kWord && significant[i + 1].IsMark('('))
      called.push_back(absl::AsciiStrToLower(significant[i].text));
  }
  DUNLIN_ASSIGN_OR_RETURN(
      const pg::Result found,
      connection.Execute(sql::kVolatileFunctions, {pg::EncodeTextArray(called)}));
  // They make new values, which is what they are called for.
  static const std::set<std::string> kGenerators = {"gen_random_uuid", "nextval",
                                                    "uuid_generate_v1", "uuid_generate_v4"};
  for (size_t row = 0; row < found.rows.size(); ++row) {
    const bool generator = kGenerators.contains(found.Text(row, 0));
    findings.push_back(
        {generator ? Severity::kNote : Severity::kWarning, name,
         absl::StrCat(
             "it calls ", found.Text(row, 0), "(), which is volatile",
             found.IsNull(row, 1) ? "" : absl::StrCat(" and of extension ", found.Text(row, 1))),
         "its value differs from row to row and from try to try, and what it does outside the "
         "database is not undone when a batch is rolled back and tried again",
         generator ? ""
                   : "for the time of the start write :started_at; give other values as "
                     "`parameters`, or compute them from the row"});
  }
  return absl::OkStatus();
}

absl::Status CheckPlans(pg::Connection& connection, const StepDefinition& step,
                        const Relation& relation, const StepSql& sql, TableUse& use,
                        std::vector<Finding>& findings) {
  PlanJudge judge(connection, relation, use, findings);
  const absl::StatusOr<std::optional<SampleRange>> found =
      FindSampleRange(connection, relation, sql);
  if (!found.ok()) return judge.Refused(found.status(), absl::StrCat("table ", relation.name_sql));
  const std::optional<SampleRange>& range = *found;
  if (!range) {
    findings.push_back({Severity::kNote, absl::StrCat("table ", relation.name_sql),
                        "it is empty here: plans and batches were not judged", "",
                        "check against a database with rows in it"});
    return absl::OkStatus();
  }
  DUNLIN_RETURN_IF_ERROR(connection.Query("SET enable_seqscan = off").status());
  DUNLIN_ASSIGN_OR_RETURN(const pg::Result tree,
                          connection.Execute(sql::kPlainNames, {absl::StrCat(relation.oid)}));
  for (size_t row = 0; row < tree.rows.size(); ++row) judge.AddOwn(tree.Text(row, 0));
  const bool locks = step.lock || !step.lock_statements.empty();
  for (const BoundStatement* statement : sql.BatchStatements(range->lower, *range->upper)) {
    DUNLIN_RETURN_IF_ERROR(judge.Judge(sql.Bind(*statement, range->lower, range->upper),
                                       PlainStatementName(statement->statement.name), locks));
  }
  if (const RangeStatement* verify = sql.verify_range()) {
    DUNLIN_RETURN_IF_ERROR(
        judge.Judge(sql.Bind(verify->For(range->lower, *range->upper), range->lower, range->upper),
                    "verify", true));
  }
  DUNLIN_RETURN_IF_ERROR(CheckWholeVerify(connection, relation, sql, findings));
  return connection.Query("RESET enable_seqscan").status();
}

}  // namespace dunlin::agent
