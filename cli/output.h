// What people and scripts read. Pure but for the final write.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include <nlohmann/json_fwd.hpp>

#include "dunlin/v1/agent.pb.h"
#include "dunlin/v1/run.pb.h"

namespace dunlin::cli {

// "RUNNING": without the enum's prefix.
std::string StateName(v1::Run::State state);
std::string StateName(v1::Shard::State state);
absl::Time TimeOf(const google::protobuf::Timestamp& time);
// "2026-11-24 09:30:05Z"; "-" when unset.
std::string TimeText(const google::protobuf::Timestamp& time, bool present = true);
// 0 … 100; 100 only when finished, never over it (trap 22).
double PercentOf(const v1::Run& run);
// "[######----]" in Unicode blocks, `width` cells.
std::string Bar(double percent, int width);
// One cell for each value, up to `full`, which is the highest.
std::string Sparkline(const std::vector<double>& values, double full);
// One line: state, percent, rows, rate, ETA.
std::string ProgressLine(const v1::Run& run);
// Its migration's name; an undo has that of the migration that it takes back, and says so.
std::string TitleOf(const v1::Run& run);
// Rows that an undo has left as they are: how many, and the first ten. No line = none.
std::vector<std::string> LeftLines(const v1::Run& run);
// Why it is not going at full speed, or not at all; empty = nothing to say.
std::string WaitReason(const v1::Run& run);
// Whether waiting alone does not help, and nobody has asked for it: it failed, a problem paused it,
// or it lacks an approval.
bool NeedsPerson(const v1::Run& run);
// The command that comes next: "resume NAME", what its quarantined rows need, "watch NAME" …; empty
// when it is FINISHED. `name`: how to name the run, if not by its migration.
std::string NextCommand(const v1::Run& run, const std::string& name = "");
// "OVER", "40 %" or "not measured", in a column.
std::string SignalMark(const v1::Run::Signal& signal);
// "4 shards at once, batches of 100 ms, 2,000 rows/s".
std::string LimitsLine(const v1::Run& run);
// Left-aligned columns with a header.
std::string Table(const std::vector<std::vector<std::string>>& rows);

nlohmann::json RunJson(const v1::Run& run);
nlohmann::json ShardJson(const v1::Shard& shard);
nlohmann::json EventJson(const v1::RunEvent& event);
nlohmann::json QuarantinedRowJson(const v1::QuarantinedRow& row);
nlohmann::json AgentJson(const v1::Agent& agent);

}  // namespace dunlin::cli
