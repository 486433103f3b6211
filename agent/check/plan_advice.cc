#include "agent/check/plan_advice.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include <nlohmann/json.hpp>

namespace dunlin::agent {
namespace {

using nlohmann::json;

struct Scans {
  std::string operation;               // of the topmost ModifyTable; empty for a SELECT
  std::set<std::string> changed;       // relations written to
  std::map<std::string, int> scanned;  // how often each is read
  std::set<std::string> unbounded;
  std::vector<std::string> inserted;
  std::set<std::string> operations;
};

std::string NameOf(const json& node) {
  return absl::StrCat(node.value("Schema", ""), ".", node.value("Relation Name", ""));
}

// A bitmap heap scan is bounded by the index scans below it.
bool HasIndexCondition(const json& node) {
  if (node.contains("Index Cond") || node.contains("TID Cond")) return true;
  if (node.value("Node Type", "") == "Index Scan" || !node.contains("Plans")) return false;
  return std::ranges::any_of(node["Plans"], HasIndexCondition);
}

void AddInserted(const json& node, Scans& scans) {
  if (!node.contains("Plans") || node["Plans"].empty()) return;
  for (const json& output : node["Plans"][0].value("Output", json::array())) {
    if (output.is_string()) scans.inserted.push_back(output.get<std::string>());
  }
}

// `locked`: relations whose rows a CTE around it writes, and so reads as they are now.
void Walk(const json& node, std::set<std::string> locked, Scans& scans) {
  const std::string type = node.value("Node Type", "");
  if (type == "ModifyTable") {
    const bool nested = !scans.operation.empty();
    const std::string operation = node.value("Operation", "");
    scans.operations.insert(absl::AsciiStrToUpper(operation));
    if (!nested) {
      scans.operation = operation;
      if (operation == "Insert") AddInserted(node, scans);
    }
    std::vector<std::string> targets;
    if (node.contains("Relation Name")) targets.push_back(NameOf(node));
    for (const json& target : node.value("Target Tables", json::array()))
      targets.push_back(NameOf(target));
    scans.changed.insert(targets.begin(), targets.end());
    if (nested && operation != "Insert") locked.insert(targets.begin(), targets.end());
  } else if (node.contains("Relation Name")) {
    if (!locked.contains(NameOf(node))) ++scans.scanned[NameOf(node)];
    const bool bounded = absl::StrContains(type, "Scan") && HasIndexCondition(node);
    if (!bounded) scans.unbounded.insert(NameOf(node));
  }
  for (const json& child : node.value("Plans", json::array())) Walk(child, locked, scans);
}

void AddCopied(Scans& scans, PlanFacts& facts) {
  facts.inserted = std::move(scans.inserted);
  for (const auto& [name, times] : scans.scanned) {
    const bool own = scans.changed.contains(name);
    const bool copied =
        scans.operation == "Insert" || (!own && !scans.operation.empty()) || (own && times > 1);
    if (copied && scans.operation != "Delete") facts.copied_from.push_back(name);
  }
}

}  // namespace

absl::StatusOr<PlanFacts> ReadPlan(absl::string_view text) {
  const json plan = json::parse(text.begin(), text.end(), nullptr, false);
  if (!plan.is_array() || plan.empty() || !plan[0].contains("Plan"))
    return absl::InvalidArgumentError("not the answer of EXPLAIN (FORMAT JSON)");
  PlanFacts facts;
  std::set<std::string> read_whole, operations;
  for (const json& one : plan) {
    Scans scans;
    Walk(one.value("Plan", json::object()), {}, scans);
    read_whole.merge(scans.unbounded);
    operations.merge(scans.operations);
    // Of several plans the others are what rules make of the statement.
    if (plan.size() == 1) AddCopied(scans, facts);
  }
  facts.read_whole.assign(read_whole.begin(), read_whole.end());
  facts.operations.assign(operations.begin(), operations.end());
  return facts;
}

}  // namespace dunlin::agent
