#include "cli/watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/mutex.h"
#include "common/text/duration.h"

namespace dunlin::cli {
namespace {

constexpr absl::Duration kRedraw = absl::Milliseconds(150);
constexpr absl::Duration kPlainEvery = absl::Seconds(2);

bool Ended(v1::Run::State state) { return ExitCodeOf(state) != kNotFinished; }

// What is known of one run; written by its stream's thread, read by the one that draws.
struct Watched {
  Mutex mutex;
  v1::Run run ABSL_GUARDED_BY(mutex);
  std::map<std::string, v1::Shard> shards ABSL_GUARDED_BY(mutex);
  bool known ABSL_GUARDED_BY(mutex) = false;
  bool away ABSL_GUARDED_BY(mutex) = false;
  // The last minute, a value a second.
  std::vector<double> rates ABSL_GUARDED_BY(mutex), pressures ABSL_GUARDED_BY(mutex);
  absl::Duration noted_at ABSL_GUARDED_BY(mutex) = -absl::InfiniteDuration();
  absl::Status failed ABSL_GUARDED_BY(mutex);
  bool done ABSL_GUARDED_BY(mutex) = false;
};

Mutex print_mutex;

void PrintJson(int64_t revision, const char* kind, nlohmann::json body) {
  body["revision"] = revision;
  body["kind"] = body.contains("kind") ? body["kind"] : nlohmann::json(kind);
  MutexLock lock(print_mutex);
  std::cout << body.dump() << std::endl;
}

void PrintUpdate(const v1::WatchRunResponse& message) {
  if (message.has_snapshot())
    PrintJson(message.revision(), "snapshot", {{"run", RunJson(message.snapshot().run())}});
  if (!message.has_changes()) return;
  for (const v1::RunEvent& event : message.changes().events())
    PrintJson(event.revision(), "event", EventJson(event));
  for (const v1::Shard& shard : message.changes().shards())
    PrintJson(shard.revision(), "shard", {{"shard", ShardJson(shard)}});
  PrintJson(message.revision(), "run", {{"run", RunJson(message.changes().run())}});
}

void NoteSecond(Watched& watched) ABSL_EXCLUSIVE_LOCKS_REQUIRED(watched.mutex) {
  constexpr size_t kSeconds = 60;
  const absl::Duration now = SystemClock().Monotonic();
  if (now - watched.noted_at < absl::Seconds(1)) return;
  watched.noted_at = now;
  const auto note = [](std::vector<double>& values, double value) {
    values.push_back(value);
    if (values.size() > kSeconds) values.erase(values.begin());
  };
  note(watched.rates, watched.run.rows_per_second());
  note(watched.pressures, watched.run.signals_size() > 0 ? watched.run.signals(0).pressure() : 0);
}

// Rate and the loudest signal of the last minute.
std::vector<std::string> DrawTrend(Watched& watched) ABSL_EXCLUSIVE_LOCKS_REQUIRED(watched.mutex) {
  if (watched.run.state() != v1::Run::STATE_RUNNING || watched.rates.size() < 2) return {};
  const double most = *std::max_element(watched.rates.begin(), watched.rates.end());
  std::vector<std::string> lines = {absl::StrCat("  rows/s   ", Sparkline(watched.rates, most),
                                                 "  at most ",
                                                 HumanCount(static_cast<int64_t>(most)))};
  if (watched.run.signals_size() > 0) {
    const v1::Run::Signal& loudest = watched.run.signals(0);
    lines.push_back(absl::StrCat("  pressure ", Sparkline(watched.pressures, 1), "  ",
                                 absl::StrFormat("%.0f %% ", loudest.pressure() * 100),
                                 loudest.signal()));
  }
  return lines;
}

void Take(Watched& watched, const v1::WatchRunResponse& message) {
  MutexLock lock(watched.mutex);
  watched.away = false;
  const auto take = [&](const v1::Run& run, const auto& shards) {
    watched.run = run;
    watched.known = true;
    for (const v1::Shard& shard : shards) watched.shards[shard.shard_id()] = shard;
  };
  if (message.has_snapshot()) {
    watched.shards.clear();
    take(message.snapshot().run(), message.snapshot().shards());
  } else if (message.has_changes()) {
    take(message.changes().run(), message.changes().shards());
  }
  if (watched.known) NoteSecond(watched);
  if (watched.known && Ended(watched.run.state())) watched.done = true;
}

int TerminalWidth() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

// Cuts at `width` display cells.
std::string Cut(const std::string& text, int width) {
  int cells = 0;
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if ((text[at] & 0xc0) != 0x80 && ++cells > width) break;
  }
  return text.substr(0, at);
}

std::string Paint(v1::Run::State state, const std::string& text) {
  static const bool colours = std::getenv("NO_COLOR") == nullptr;
  if (!colours) return text;
  const char* code = state == v1::Run::STATE_FINISHED                                   ? "32"
                     : state == v1::Run::STATE_FAILED || state == v1::Run::STATE_PAUSED ? "31"
                                                                                        : "36";
  return absl::StrCat("\x1b[", code, "m", text, "\x1b[0m");
}

// A run as a block of lines.
std::vector<std::string> Draw(Watched& watched, const std::string& name, int width) {
  MutexLock lock(watched.mutex);
  if (!watched.known) return {Cut(absl::StrCat(name, "  …"), width)};
  const v1::Run& run = watched.run;
  std::vector<std::string> lines;
  lines.push_back(Cut(
      absl::StrCat(run.migration(), " on ", run.target(),
                   run.steps() > 1 ? absl::StrCat("  step ", run.step(), " of ", run.steps()) : ""),
      width));
  const int bar = std::clamp(width - 12, 10, 60);
  lines.push_back(absl::StrCat("  ", Paint(run.state(), Bar(PercentOf(run), bar)),
                               absl::StrFormat(" %5.1f %%", PercentOf(run))));
  lines.push_back(Cut(absl::StrCat("  ", ProgressLine(run)), width));
  for (const std::string& line : DrawTrend(watched)) lines.push_back(Cut(line, width));
  std::map<std::string, int> by_agent;
  for (const auto& [id, shard] : watched.shards) {
    if (shard.state() == v1::Shard::STATE_LEASED) ++by_agent[shard.agent_name()];
  }
  if (!by_agent.empty()) {
    std::string agents = "  agents ";
    for (const auto& [agent, count] : by_agent)
      absl::StrAppend(&agents, " ", agent, " (", count, count == 1 ? " shard)" : " shards)");
    lines.push_back(Cut(agents, width));
  }
  const std::string reason = watched.away ? "coordinator away, reconnecting" : WaitReason(run);
  if (!reason.empty()) lines.push_back(Cut(absl::StrCat("  ⏳ ", reason), width));
  return lines;
}

class Screen {
 public:
  explicit Screen(bool terminal) : terminal_(terminal) {}

  void Show(const std::vector<std::string>& names, std::vector<std::unique_ptr<Watched>>& watched,
            bool last) {
    if (terminal_) {
      ShowInPlace(names, watched);
    } else {
      ShowPlain(names, watched, last);
    }
  }

 private:
  void ShowInPlace(const std::vector<std::string>& names,
                   std::vector<std::unique_ptr<Watched>>& watched) {
    const int width = TerminalWidth() - 1;
    std::string out;
    if (drawn_ > 0) absl::StrAppend(&out, "\x1b[", drawn_, "A");
    int lines = 0;
    for (size_t i = 0; i < watched.size(); ++i) {
      for (const std::string& line : Draw(*watched[i], names[i], width)) {
        absl::StrAppend(&out, "\x1b[2K", line, "\n");
        ++lines;
      }
    }
    for (int extra = lines; extra < drawn_; ++extra) absl::StrAppend(&out, "\x1b[2K\n");
    drawn_ = std::max(lines, drawn_);
    std::cout << out << std::flush;
  }

  void ShowPlain(const std::vector<std::string>& names,
                 std::vector<std::unique_ptr<Watched>>& watched, bool last) {
    const absl::Duration now = SystemClock().Monotonic();
    for (size_t i = 0; i < watched.size(); ++i) {
      MutexLock lock(watched[i]->mutex);
      if (!watched[i]->known) continue;
      const std::string reason =
          watched[i]->away ? "coordinator away, reconnecting" : WaitReason(watched[i]->run);
      const std::string what = absl::StrCat(StateName(watched[i]->run.state()), "|", reason);
      const bool changed = what != said_[names[i]];
      const bool due = now - said_at_[names[i]] >= kPlainEvery &&
                       watched[i]->run.revision() != revision_[names[i]];
      if (!changed && !due && !(last && watched[i]->run.revision() != revision_[names[i]]))
        continue;
      said_[names[i]] = what;
      said_at_[names[i]] = now;
      revision_[names[i]] = watched[i]->run.revision();
      std::cout << watched[i]->run.migration() << "  " << ProgressLine(watched[i]->run)
                << (reason.empty() ? "" : "  (" + reason + ")") << std::endl;
    }
  }

  const bool terminal_;
  int drawn_ = 0;
  std::map<std::string, std::string> said_;
  std::map<std::string, absl::Duration> said_at_;
  std::map<std::string, int64_t> revision_;
};

// One stream, renewed until the run ends: nothing is missed over the death of a coordinator (I11).
void FollowRun(Client& client, const std::string& run, const WatchOptions& options,
               Watched& watched, std::stop_token stop) {
  int64_t revision = options.from_revision;
  while (!stop.stop_requested()) {
    const absl::Status ended = client.Watch(
        run, revision,
        [&](const v1::WatchRunResponse& message) {
          revision = std::max(revision, message.revision());
          if (message.has_snapshot()) revision = message.revision();
          if (options.json) PrintUpdate(message);
          Take(watched, message);
          MutexLock lock(watched.mutex);
          return !stop.stop_requested() && !watched.done;
        },
        stop);
    {
      MutexLock lock(watched.mutex);
      if (watched.done || stop.stop_requested()) return;
      if (absl::IsNotFound(ended) || absl::IsInvalidArgument(ended)) {
        watched.failed = ended;
        watched.done = true;
        return;
      }
      watched.away = !absl::IsOutOfRange(ended);
    }
    if (absl::IsOutOfRange(ended)) {
      revision = 0;  // no longer kept: begin with a snapshot
      continue;
    }
    SystemClock().SleepFor(absl::Milliseconds(200), stop);
  }
}

}  // namespace

int WatchRuns(Client& client, const std::vector<std::string>& runs, const WatchOptions& options) {
  std::vector<std::unique_ptr<Watched>> watched;
  std::atomic<size_t> followed = runs.size();
  std::stop_source all_ended;  // the screen need not wait for its next redraw then
  std::vector<std::jthread> threads;
  for (const std::string& run : runs) {
    watched.push_back(std::make_unique<Watched>());
    threads.emplace_back([&, run, raw = watched.back().get()](std::stop_token stop) {
      FollowRun(client, run, options, *raw, stop);
      if (--followed == 0) all_ended.request_stop();
    });
  }
  Screen screen(isatty(STDOUT_FILENO) != 0);
  bool all_done = false;
  while (!all_done && !Interrupted()) {
    SystemClock().SleepFor(kRedraw, all_ended.get_token());
    all_done = true;
    for (auto& one : watched) {
      MutexLock lock(one->mutex);
      all_done = all_done && one->done;
    }
    if (!options.json) screen.Show(runs, watched, all_done);
  }
  for (std::jthread& thread : threads) thread.request_stop();
  int worst = Interrupted() && !all_done ? kInterrupted : kDone;
  for (auto& one : watched) {
    MutexLock lock(one->mutex);
    if (!one->failed.ok()) worst = std::max<int>(worst, Complain(one->failed));
    if (all_done && one->known) worst = std::max<int>(worst, ExitCodeOf(one->run.state()));
  }
  return worst;
}

}  // namespace dunlin::cli
