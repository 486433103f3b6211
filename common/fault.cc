#include "common/fault.h"

#ifdef DUNLIN_FAULTS

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

#include "common/fault_points.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/status_macros.h"

namespace dunlin {
namespace {

struct Fault {
  std::string action;
  int delay_ms = 0;
  int only_hit = 0;  // 0 = every hit
  int hits = 0;
};

struct Table {
  Mutex mutex;
  std::map<std::string, Fault> faults ABSL_GUARDED_BY(mutex);
};

absl::Status ParseInto(absl::string_view spec, std::map<std::string, Fault>& out) {
  for (absl::string_view item : absl::StrSplit(spec, ',', absl::SkipWhitespace())) {
    const std::vector<std::string> halves = absl::StrSplit(item, absl::MaxSplits('=', 1));
    if (halves.size() != 2)
      return absl::InvalidArgumentError(absl::StrCat("not name=action: ", item));
    bool known = false;
    for (const char* name : kFaultPoints) known = known || halves[0] == name;
    if (!known) return absl::InvalidArgumentError(absl::StrCat("unknown fault point ", halves[0]));
    const std::vector<std::string> at = absl::StrSplit(halves[1], absl::MaxSplits('@', 1));
    const std::vector<std::string> action = absl::StrSplit(at[0], absl::MaxSplits(':', 1));
    Fault fault{.action = action[0]};
    const bool numbers_ok = (at.size() < 2 || absl::SimpleAtoi(at[1], &fault.only_hit)) &&
                            (action.size() < 2 || absl::SimpleAtoi(action[1], &fault.delay_ms));
    const bool action_ok = fault.action == "crash" || fault.action == "stop" ||
                           fault.action == "error" || fault.action == "delay";
    if (!numbers_ok || !action_ok)
      return absl::InvalidArgumentError(absl::StrCat("unknown action ", halves[1]));
    out[halves[0]] = fault;
  }
  return absl::OkStatus();
}

Table& Faults() {
  static Table* table = [] {
    auto* made = new Table;
    if (const char* spec = std::getenv("DUNLIN_FAULT"); spec != nullptr) {
      MutexLock lock(made->mutex);
      const absl::Status parsed = ParseInto(spec, made->faults);
      CHECK(parsed.ok()) << "DUNLIN_FAULT: " << parsed.message();
    }
    return made;
  }();
  return *table;
}

}  // namespace

absl::Status HitFault(absl::string_view name) {
  Fault fault;
  {
    Table& table = Faults();
    MutexLock lock(table.mutex);
    const auto it = table.faults.find(std::string(name));
    if (it == table.faults.end()) return absl::OkStatus();
    ++it->second.hits;
    if (it->second.only_hit != 0 && it->second.only_hit != it->second.hits) return absl::OkStatus();
    fault = it->second;
  }
  LOG(INFO) << Event("fault").Kv("point", name).Kv("action", fault.action);
  if (fault.action == "crash") kill(getpid(), SIGKILL);
  if (fault.action == "stop") kill(getpid(), SIGSTOP);
  if (fault.action == "delay") absl::SleepFor(absl::Milliseconds(fault.delay_ms));
  if (fault.action == "error") return absl::UnavailableError(absl::StrCat("fault at ", name));
  return absl::OkStatus();
}

namespace {
constexpr int64_t kUnset = std::numeric_limits<int64_t>::max();

size_t TunableNamed(absl::string_view name) {
  for (size_t i = 0; i < std::size(kTunables); ++i) {
    if (name == kTunables[i]) return i;
  }
  LOG(FATAL) << "there is no tunable " << name;
  return 0;
}

std::atomic<int64_t>& Tunable(size_t index) {
  static auto* values = [] {
    auto* made = new std::array<std::atomic<int64_t>, std::size(kTunables)>;
    for (std::atomic<int64_t>& value : *made) value = kUnset;
    const char* spec = std::getenv("DUNLIN_TUNE");
    for (absl::string_view item :
         absl::StrSplit(spec == nullptr ? "" : spec, ',', absl::SkipEmpty())) {
      const std::pair<std::string, std::string> named =
          absl::StrSplit(item, absl::MaxSplits('=', 1));
      int64_t value = 0;
      CHECK(absl::SimpleAtoi(named.second, &value)) << "DUNLIN_TUNE: not NAME=NUMBER: " << item;
      (*made)[TunableNamed(named.first)] = value;
    }
    return made;
  }();
  return (*values)[index];
}
}  // namespace

absl::Duration Tuned(size_t index, absl::Duration otherwise) {
  const int64_t value = Tunable(index);
  return value == kUnset ? otherwise : absl::Nanoseconds(value);
}

int64_t Tuned(size_t index, int64_t otherwise) {
  const int64_t value = Tunable(index);
  return value == kUnset ? otherwise : value;
}

void Tune(absl::string_view name, absl::Duration value) {
  Tune(name, absl::ToInt64Nanoseconds(value));
}

void Tune(absl::string_view name, int64_t value) { Tunable(TunableNamed(name)) = value; }

bool MutantOn(size_t index) {
  static const size_t on = [] {
    const char* asked = std::getenv("DUNLIN_MUTANT");
    if (asked == nullptr || *asked == '\0') return std::size(kMutants);
    for (size_t i = 0; i < std::size(kMutants); ++i) {
      if (absl::string_view(asked) == kMutants[i]) return i;
    }
    LOG(FATAL) << "DUNLIN_MUTANT: there is no mutant " << asked;
    return std::size(kMutants);
  }();
  return index == on;
}

absl::Status SetFaults(absl::string_view spec) {
  std::map<std::string, Fault> parsed;
  DUNLIN_RETURN_IF_ERROR(ParseInto(spec, parsed));
  Table& table = Faults();
  MutexLock lock(table.mutex);
  table.faults = std::move(parsed);
  return absl::OkStatus();
}

}  // namespace dunlin

#endif  // DUNLIN_FAULTS
