#include "agent/check/judgement.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <nlohmann/json.hpp>

namespace dunlin::agent {
namespace {

using nlohmann::json;

// Of a commit and two round trips nearby; what a rolled-back batch does not show.
constexpr absl::Duration kCommit = absl::Milliseconds(2);
// Of a before-image beside the values: row header, key, run and shard.
constexpr int64_t kImageOverhead = 80;
constexpr int64_t kMostRows = 20'000;
constexpr int64_t kMostGrowth = 20;

std::string DescribeKey(const std::vector<std::string>& columns, const std::string& key) {
  std::vector<pg::Value> values;
  if (!pg::DecodeTextArray(key, values).ok() || values.size() != columns.size()) return key;
  std::vector<std::string> parts;
  for (size_t i = 0; i < columns.size(); ++i)
    parts.push_back(absl::StrCat(columns[i], "=", values[i].value_or("NULL")));
  return absl::StrJoin(parts, " ");
}

std::map<std::string, std::string> Fields(const std::string& text) {
  std::map<std::string, std::string> fields;
  const json row = json::parse(text, nullptr, false);
  if (!row.is_object()) return fields;
  for (const auto& [name, value] : row.items()) {
    fields[name] = value.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  return fields;
}

// By key; rows with equal keys in the order of their content, which a look keeps no other of.
std::map<std::string, std::vector<std::string>> ByKey(const std::vector<RowImage>& images) {
  std::map<std::string, std::vector<std::string>> rows;
  for (const RowImage& image : images) rows[image.key].push_back(image.json);
  for (auto& [key, same] : rows) std::sort(same.begin(), same.end());
  return rows;
}

RowChange Change(const std::string& key, const std::string& before, const std::string& after) {
  RowChange change{.key = key};
  const auto was = Fields(before);
  const auto is = Fields(after);
  for (const auto& [name, value] : was) {
    const auto now = is.find(name);
    if (now != is.end() && now->second == value) continue;
    change.before[name] = value;
    if (now != is.end()) change.after[name] = now->second;
  }
  return change;
}

int64_t Scaled(int64_t amount, int64_t of, int64_t rows) {
  return of <= 0 ? 0
                 : static_cast<int64_t>(static_cast<double>(amount) / static_cast<double>(of) *
                                        static_cast<double>(rows));
}

int64_t Written(const std::vector<TableEffect>& effects) {
  int64_t written = 0;
  for (const TableEffect& effect : effects) written += effect.updated + effect.deleted;
  return written;
}

}  // namespace

std::vector<RowChange> CompareImages(const std::vector<std::string>& key_columns,
                                     const std::vector<RowImage>& before,
                                     const std::vector<RowImage>& after) {
  std::vector<RowChange> changes;
  const auto now = ByKey(after);
  for (const auto& [key, was] : ByKey(before)) {
    const auto found = now.find(key);
    for (size_t i = 0; i < was.size(); ++i) {
      const bool gone = found == now.end() || i >= found->second.size();
      if (!gone && found->second[i] == was[i]) continue;
      changes.push_back(
          Change(DescribeKey(key_columns, key), was[i], gone ? "" : found->second[i]));
    }
  }
  return changes;
}

std::set<std::string> ChangedColumns(const std::vector<RowChange>& changes) {
  std::set<std::string> columns;
  for (const RowChange& change : changes) {
    if (change.after.empty()) continue;  // deleted
    for (const auto& [name, value] : change.before) columns.insert(name);
  }
  return columns;
}

StepTrial::Again JudgeAgain(const Probe& probe, const std::set<pg::Oid>& own, bool whole) {
  if (!probe.twice || probe.rows_changed == 0) return StepTrial::Again::kUnknown;
  if (!CompareImages({}, probe.after, probe.again).empty()) return StepTrial::Again::kChanges;
  bool unknown = !whole;
  for (const TableEffect& effect : probe.effects_again) {
    if (effect.inserted + effect.deleted > 0) return StepTrial::Again::kChanges;
    unknown = unknown || !own.contains(effect.oid);  // updated, with values not looked at
  }
  return unknown ? StepTrial::Again::kUnknown : StepTrial::Again::kNothing;
}

bool MovesKeys(const Probe& probe) {
  for (const TableEffect& effect : probe.effects) {
    if (effect.deleted > 0 || effect.inserted > 0) return false;
  }
  const auto now = ByKey(probe.after);
  return std::any_of(probe.before.begin(), probe.before.end(),
                     [&](const RowImage& image) { return !now.contains(image.key); });
}

std::vector<std::string> DescribeEffects(const std::vector<TableEffect>& effects) {
  std::vector<std::string> lines;
  for (const TableEffect& effect : effects) {
    std::vector<std::string> parts;
    if (effect.updated > 0)
      parts.push_back(absl::StrCat(effect.updated, " updated (", effect.hot, " HOT)"));
    if (effect.inserted > 0) parts.push_back(absl::StrCat(effect.inserted, " inserted"));
    if (effect.deleted > 0) parts.push_back(absl::StrCat(effect.deleted, " deleted"));
    lines.push_back(absl::StrCat(effect.table, ": ", absl::StrJoin(parts, ", ")));
  }
  return lines;
}

Estimate MakeEstimate(const Measured& measured, const Probe& timed, const Probe& looked,
                      const std::vector<RowChange>& changes) {
  Estimate estimate{.rows = measured.rows, .batch_rows = measured.batch_rows};
  estimate.batch_time = timed.took;
  const double seconds = absl::ToDoubleSeconds(timed.took + kCommit);
  estimate.rows_per_second = static_cast<double>(measured.batch_rows) / seconds;
  estimate.alone = absl::Seconds(static_cast<double>(measured.rows) / estimate.rows_per_second);
  estimate.at_best = estimate.alone / std::max(1, measured.concurrency);
  estimate.wal_bytes = Scaled(timed.wal_bytes, measured.batch_rows, measured.rows);
  int64_t bytes = 0, image_bytes = 0;
  for (const RowImage& image : looked.before) bytes += image.bytes;
  for (const RowChange& change : changes) {
    image_bytes += kImageOverhead;
    for (const auto& [name, value] : change.before)
      image_bytes += static_cast<int64_t>(value.size());
  }
  const auto images = static_cast<int64_t>(looked.before.size());
  if (images > 0) {
    estimate.dead_bytes =
        Scaled(Written(timed.effects), measured.batch_rows, measured.rows) * (bytes / images);
    estimate.before_image_bytes = Scaled(image_bytes, images, measured.rows);
  }
  return estimate;
}

int64_t RowsFor(absl::Duration want, int64_t rows, absl::Duration took) {
  const double ratio = absl::FDivDuration(want, std::max(took, absl::Microseconds(100)));
  const double wanted = static_cast<double>(rows) * std::min<double>(ratio, kMostGrowth);
  return std::clamp<int64_t>(static_cast<int64_t>(std::llround(wanted)), 1, kMostRows);
}

}  // namespace dunlin::agent
