#include "common/migration/sql_template.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/migration/batch_advice.h"
#include "common/migration/sql_lexer.h"
#include "common/migration/sql_statement.h"
#include "common/migration/suggestion.h"

namespace dunlin {
namespace {

using TokenKind = SqlToken::Kind;

absl::Status AsStatus(const SqlProblem& problem) {
  return absl::InvalidArgumentError(
      absl::StrCat(problem.line, ":", problem.column, ": ", problem.message));
}

bool Contains(const std::vector<std::string>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

// Makes a template of tokens, left to right, until the first problem.
class SqlTemplate::Builder {
 public:
  Builder(absl::string_view sql, const std::vector<std::string>& declared, bool expression)
      : sql_(sql), expression_(expression), names_(declared) {
    names_.push_back("started_at");
    if (!expression) names_.insert(names_.end(), {"batch", "table"});
  }

  std::variant<SqlTemplate, SqlProblem> Build() {
    LexedSql lexed = LexSql(sql_, names_);
    if (lexed.problem) return *std::move(lexed.problem);
    tokens_ = std::move(lexed.tokens);
    if (!expression_) {
      StatementFacts facts = ExamineStatement(sql_, tokens_);
      if (facts.problem) return *std::move(facts.problem);
      out_.verb_ = std::move(facts.verb);
      out_.modifies_ = facts.modifies;
    } else if (std::none_of(tokens_.begin(), tokens_.end(),
                            [](const SqlToken& token) { return token.significant(); })) {
      return MakeSqlProblem(sql_, 0, "there is no expression");
    }
    while (at_ < tokens_.size() && !problem_) Take(tokens_[at_++]);
    if (problem_) return *std::move(problem_);
    // What follows the text must not become part of its comment.
    if (!tokens_.empty() && tokens_.back().kind == TokenKind::kComment) AddText("\n");
    if (out_.uses_batch()) out_.warnings_ = AdviseOnBatch(sql_, tokens_);
    return std::move(out_);
  }

 private:
  using Kind = Piece::Kind;

  void Fail(const SqlToken& token, std::string message) {
    problem_ = MakeSqlProblem(sql_, token.offset, std::move(message));
  }

  void AddText(absl::string_view text) {
    if (out_.pieces_.empty() || out_.pieces_.back().kind != Kind::kText) {
      out_.pieces_.push_back({.kind = Kind::kText, .text = {}});
    }
    absl::StrAppend(&out_.pieces_.back().text, text);
  }

  void Take(const SqlToken& token) {
    // What stood around a `;` may not become one word: `-;--` would be a comment.
    if (!token.IsMark(';') && std::exchange(parted_, false) && token.kind != TokenKind::kSpace)
      AddText(" ");
    if (token.kind == TokenKind::kPositional) {
      Fail(token, absl::StrCat(token.text,
                               " is not for migration files: write :name, and declare the name "
                               "under parameters"));
    } else if (token.IsMark(';')) {
      // ExamineStatement has seen that it is the end.
      if (expression_) Fail(token, "';' inside an expression");
      parted_ = true;
    } else if (token.kind == TokenKind::kPlaceholder) {
      TakePlaceholder(token);
    } else {
      AddText(token.text);
    }
  }

  void TakePlaceholder(const SqlToken& token) {
    const absl::string_view name = token.placeholder();
    if (!Contains(names_, name)) return Fail(token, UnknownPlaceholder(name));
    if (name == "batch" && !expression_) {
      TakeBatch();
    } else if (name == "table" && !expression_) {
      out_.pieces_.push_back({.kind = Kind::kTable, .text = {}});
    } else {
      out_.pieces_.push_back({.kind = Kind::kNamed, .text = std::string(name)});
    }
  }

  std::string UnknownPlaceholder(absl::string_view name) const {
    if (expression_ && (name == "batch" || name == "table")) {
      return absl::StrCat(":", name, " cannot stand in an expression; only parameters can");
    }
    return absl::StrCat(":", name, " is not declared; known are :", absl::StrJoin(names_, ", :"),
                        DidYouMean(name, names_));
  }

  // `:batch` or `:batch(alias)`, spaces allowed.
  void TakeBatch() {
    std::string alias;
    size_t at = SkipSpace(at_);
    if (at < tokens_.size() && tokens_[at].IsMark('(')) {
      at = SkipSpace(at + 1);
      const SqlToken& name = tokens_[at];  // there is one: the lexer saw the bracket closed
      if (name.kind != TokenKind::kWord && name.kind != TokenKind::kQuotedIdentifier) {
        return Fail(name, "expected the alias of a table, as in :batch(r)");
      }
      alias = std::string(name.text);
      at = SkipSpace(at + 1);
      if (!tokens_[at].IsMark(')')) {
        return Fail(tokens_[at], "expected ')' behind the alias, as in :batch(r)");
      }
      at_ = at + 1;
    }
    out_.pieces_.push_back({.kind = Kind::kBatch, .text = std::move(alias)});
  }

  size_t SkipSpace(size_t at) const {
    while (at < tokens_.size() && tokens_[at].kind == TokenKind::kSpace) ++at;
    return at;
  }

  const absl::string_view sql_;
  const bool expression_;
  std::vector<std::string> names_;
  std::vector<SqlToken> tokens_;
  size_t at_ = 0;
  std::optional<SqlProblem> problem_;
  bool parted_ = false;  // by a `;` that is left out
  SqlTemplate out_;
};

namespace {

// Writes a statement with parameters, each numbered once.
class Renderer {
 public:
  explicit Renderer(const RenderContext& context) : context_(context) {}

  void Text(absl::string_view text) {
    if (!text.empty()) Append(text);
  }

  void Parameter(const ParameterRef& ref) { Append(Number(ref)); }

  void KeyRange(absl::string_view alias) {
    const absl::string_view qualifier = alias.empty() ? context_.table_qualifier : alias;
    std::vector<std::string> columns;
    for (const std::string& column : context_.key_columns)
      columns.push_back(qualifier.empty() ? column : absl::StrCat(qualifier, ".", column));
    Append(KeyRangeSql(columns, context_.range,
                       [this](const ParameterRef& ref) { return Number(ref); }));
  }

  RenderedSql Finish() { return std::move(out_); }

 private:
  std::string Number(const ParameterRef& ref) {
    auto& all = out_.parameters;
    const auto found = std::find(all.begin(), all.end(), ref);
    const auto index = context_.first_parameter + (found - all.begin());
    if (found == all.end()) all.push_back(ref);
    return absl::StrCat("$", index);
  }

  // What was two tokens in the template stays two: `x:name` must not become the identifier `x$1`,
  // nor `"a":table` one quoted name, nor `U&:table` a U&"…".
  void Append(absl::string_view text) {
    if (!out_.sql.empty()) {
      const char before = out_.sql.back();
      const char after = text.front();
      const bool words = IsIdentifierPart(before) && (IsIdentifierPart(after) || after == '"');
      const bool quotes = (before == '"' || before == '&') && after == '"';
      if (words || quotes) out_.sql.push_back(' ');
    }
    absl::StrAppend(&out_.sql, text);
  }

  const RenderContext& context_;
  RenderedSql out_;
};

}  // namespace

std::variant<SqlTemplate, SqlProblem> SqlTemplate::ParseOrProblem(
    absl::string_view sql, const std::vector<std::string>& declared, Kind kind) {
  return Builder(sql, declared, kind == Kind::kExpression).Build();
}

absl::StatusOr<SqlTemplate> SqlTemplate::Parse(absl::string_view sql,
                                               const std::vector<std::string>& declared) {
  auto parsed = ParseOrProblem(sql, declared, Kind::kStatement);
  if (const auto* problem = std::get_if<SqlProblem>(&parsed)) return AsStatus(*problem);
  return std::get<SqlTemplate>(std::move(parsed));
}

absl::StatusOr<SqlTemplate> SqlTemplate::ParseExpression(absl::string_view sql,
                                                         const std::vector<std::string>& declared) {
  auto parsed = ParseOrProblem(sql, declared, Kind::kExpression);
  if (const auto* problem = std::get_if<SqlProblem>(&parsed)) return AsStatus(*problem);
  return std::get<SqlTemplate>(std::move(parsed));
}

bool SqlTemplate::Uses(Piece::Kind kind) const {
  return std::any_of(pieces_.begin(), pieces_.end(),
                     [&](const Piece& piece) { return piece.kind == kind; });
}

bool SqlTemplate::uses_batch() const { return Uses(Piece::Kind::kBatch); }
bool SqlTemplate::uses_table() const { return Uses(Piece::Kind::kTable); }
const std::string& SqlTemplate::verb() const { return verb_; }
std::vector<std::string> SqlTemplate::Warnings() const { return warnings_; }

RenderedSql SqlTemplate::Render(const RenderContext& context) const {
  Renderer renderer(context);
  for (const Piece& piece : pieces_) {
    switch (piece.kind) {
      case Piece::Kind::kText:
        renderer.Text(piece.text);
        break;
      case Piece::Kind::kBatch:
        renderer.KeyRange(piece.text);
        break;
      case Piece::Kind::kTable:
        renderer.Text(context.table_sql);
        break;
      case Piece::Kind::kNamed:
        renderer.Parameter(NamedParameter{piece.text});
        break;
    }
  }
  return renderer.Finish();
}

}  // namespace dunlin
