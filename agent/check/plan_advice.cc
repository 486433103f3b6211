#include "agent/check/plan_advice.h"

#include <algorithm>
#include <map>
#include <set>

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

void Walk(const json& node, Scans& scans) {
  const std::string type = node.value("Node Type", "");
  if (type == "ModifyTable") {
    if (scans.operation.empty()) scans.operation = node.value("Operation", "");
    if (node.contains("Relation Name")) scans.changed.insert(NameOf(node));
    for (const json& target : node.value("Target Tables", json::array()))
      scans.changed.insert(NameOf(target));
  } else if (node.contains("Relation Name")) {
    ++scans.scanned[NameOf(node)];
    const bool bounded = absl::StrContains(type, "Scan") && HasIndexCondition(node);
    if (!bounded) scans.unbounded.insert(NameOf(node));
  }
  for (const json& child : node.value("Plans", json::array())) Walk(child, scans);
}

}  // namespace

absl::StatusOr<PlanFacts> ReadPlan(absl::string_view text) {
  const json plan = json::parse(text.begin(), text.end(), nullptr, false);
  if (!plan.is_array() || plan.empty() || !plan[0].contains("Plan"))
    return absl::InvalidArgumentError("not the answer of EXPLAIN (FORMAT JSON)");
  Scans scans;
  for (const json& one : plan) Walk(one.value("Plan", json::object()), scans);
  PlanFacts facts;
  facts.read_whole.assign(scans.unbounded.begin(), scans.unbounded.end());
  for (const auto& [name, times] : scans.scanned) {
    const bool own = scans.changed.contains(name);
    const bool copied =
        scans.operation == "Insert" || (!own && !scans.operation.empty()) || (own && times > 1);
    if (copied && scans.operation != "Delete") facts.copied_from.push_back(name);
  }
  return facts;
}

}  // namespace dunlin::agent
