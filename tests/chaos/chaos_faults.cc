#include "tests/chaos/chaos_faults.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include <glog/logging.h>

namespace dunlin::testing {
namespace {
// A round is planned and ends without transactions on shards: then a fault strikes nothing.
constexpr absl::Duration kLongestWait = absl::Seconds(1);
}  // namespace

ChaosFaults::ChaosFaults(ChaosWorld& world, uint64_t seed, absl::Duration pause)
    : world_(world), random_(seed), wait_for_open_(std::min(pause, kLongestWait)) {
  AddProcessFaults();
  AddDatabaseFaults();
  AddNetworkFaults();
  counts_.resize(kinds_.size());
}

void ChaosFaults::Add(const char* name, double weight, std::function<bool()> inject) {
  kinds_.push_back({name, weight, std::move(inject)});
}

std::vector<OpenTransaction> ChaosFaults::AwaitOpen(std::optional<size_t> agent) {
  std::vector<OpenTransaction> found;
  Eventually(wait_for_open_, [&] {
    found = world_.OpenTransactions(agent);
    return !found.empty();
  });
  for (const OpenTransaction& one : found) striking_.xids.push_back(one.xid);
  return found;
}

void ChaosFaults::EndAfter(absl::Duration duration, std::function<void()> end) {
  ends_.emplace(world_.clock.Monotonic() + duration, std::move(end));
}

void ChaosFaults::EndSome(bool all) {
  while (!ends_.empty() && (all || ends_.begin()->first <= world_.clock.Monotonic())) {
    const auto end = ends_.extract(ends_.begin());
    end.mapped()();
  }
}

void ChaosFaults::Stop(const std::string& who, std::function<Process*()> process) {
  process()->Signal(SIGSTOP);
  stopped_.insert(who);
  EndAfter(ChaosWorld::kLeaseTtl + absl::Milliseconds(random_() % 2500), [this, who, process] {
    stopped_.erase(who);
    if (Process* running = process(); running != nullptr) running->Signal(SIGCONT);
  });
}

void ChaosFaults::AddProcessFaults() {
  Add("SIGKILL of an agent", 8, [this] {
    const size_t victim = DrawAgent();
    if (stopped_.count(absl::StrCat("agent ", victim)) == 0) AwaitOpen(victim);
    world_.cluster->ReplaceAgent(victim);
    return true;
  });
  Add("SIGSTOP of an agent beyond its lease", 4, [this] {
    const size_t victim = DrawAgent();
    const std::string who = absl::StrCat("agent ", victim);
    if (stopped_.count(who) > 0) return false;
    AwaitOpen(victim);
    Stop(who, [this, victim] { return &world_.cluster->agent(victim); });
    return true;
  });
  Add("SIGKILL of the coordinator", 2, [this] {
    world_.cluster->ReplaceCoordinator(0);
    return true;
  });
  Add("SIGSTOP of the coordinator beyond a lease", 1, [this] {
    if (stopped_.count("coordinator") > 0) return false;
    Stop("coordinator", [this] { return &world_.cluster->coordinator(0); });
    return true;
  });
  Add("SIGKILL of dunlin local", 3, [this] {
    if (world_.local == nullptr) return false;
    world_.local->Signal(SIGKILL);
    world_.local->Wait(absl::Seconds(10));
    world_.StartLocal();
    return true;
  });
  Add("SIGSTOP of dunlin local beyond a lease", 1, [this] {
    if (world_.local == nullptr || stopped_.count("local") > 0) return false;
    Stop("local", [this] { return world_.local.get(); });
    return true;
  });
}

void ChaosFaults::FreeDisk() {
  if (stopped_.erase("disk") > 0) world_.disk->Clear();
}

// The batches' COMMITs wait for a standby that is gone; some are terminated there: durable here,
// and not known to be. Ends within: nothing else works meanwhile.
bool ChaosFaults::LoseStandby() {
  const auto set_standby = [this](const char* how) {
    world_.target.Exec("postgres", absl::StrCat("ALTER SYSTEM ", how));
    world_.target.Exec("postgres", "SELECT pg_reload_conf()");
  };
  set_standby("SET synchronous_standby_names = 'lost'");
  Eventually(wait_for_open_, [&] {
    for (const OpenTransaction& one : world_.OpenTransactions()) {
      if (!one.committing) continue;
      world_.target.Exec("postgres",
                         absl::StrCat("SELECT pg_terminate_backend(", one.backend, ")"));
      ++striking_.committing;
    }
    return striking_.committing > 0;
  });
  set_standby("RESET synchronous_standby_names");
  return true;
}

void ChaosFaults::AddDatabaseFaults() {
  Add("a backend terminated in its batch", 10, [this] {
    const std::vector<OpenTransaction> open = AwaitOpen();
    if (open.empty()) return false;
    striking_.xids = {open[0].xid};
    world_.target.Exec("postgres",
                       absl::StrCat("SELECT pg_terminate_backend(", open[0].backend, ")"));
    return true;
  });
  Add("the synchronous standby lost, backends terminated in COMMIT", 4,
      [this] { return LoseStandby(); });
  Add("immediate stop of the target's server", 1, [this] {
    AwaitOpen();
    world_.target.Kill();
    FreeDisk();  // a replay needs room again for what was dropped since: nobody's server comes up
    world_.target.Start();
    return true;
  });
  Add("immediate stop of the store's server", 1, [this] {
    world_.store.CrashAndRestart();
    return true;
  });
  Add("the coordinator's backends terminated", 2, [this] {
    world_.store.Exec("postgres",
                      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                      "application_name = 'dunlin/coordinator'");
    return true;
  });
  Add("a snapshot held for long", 1, [this] {
    auto snapshot = world_.target.Connect("app");
    const absl::Status begun = snapshot->ExecuteScript(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM by_uuid WHERE n < 0");
    CHECK(begun.ok()) << begun.message();
    snapshots_.push_back(std::move(snapshot));
    EndAfter(absl::Seconds(2 + random_() % 4), [this] { snapshots_.erase(snapshots_.begin()); });
    return true;
  });
  if (world_.bouncer != nullptr) {
    Add("PgBouncer killed and started again", 2, [this] {
      AwaitOpen(2);
      world_.bouncer->Restart();
      return true;
    });
  }
  if (world_.disk == nullptr) return;
  Add("disk full", 2, [this] {
    if (!stopped_.insert("disk").second) return false;
    AwaitOpen();
    world_.disk->FillUp();
    EndAfter(DrawDuration(), [this] { FreeDisk(); });
    return true;
  });
}

void ChaosFaults::AddProxyFaults(const char* cut, const char* hold, const char* slow, double weight,
                                 std::function<TcpProxy&()> choose, bool of_agent) {
  const auto await = [this, of_agent] {
    if (of_agent) AwaitOpen(proxied_agent_);
  };
  Add(cut, 2 * weight, [choose, await] {
    TcpProxy& proxy = choose();
    await();
    proxy.Cut();
    return true;
  });
  Add(hold, weight, [this, choose, await] {
    TcpProxy& proxy = choose();
    await();
    proxy.Hold(true);
    EndAfter(DrawDuration(), [&proxy] { proxy.Hold(false); });
    return true;
  });
  Add(slow, weight, [this, choose] {
    TcpProxy& proxy = choose();
    proxy.SetDelay(absl::Milliseconds(20 + random_() % 280));
    EndAfter(DrawDuration(), [&proxy] { proxy.SetDelay(absl::ZeroDuration()); });
    return true;
  });
}

void ChaosFaults::AddNetworkFaults() {
  const auto draw = [this] { return proxied_agent_ = DrawAgent(); };
  AddProxyFaults(
      "agent and target cut off", "agent and target half-open", "agent and target slow", 2,
      [this, draw]() -> TcpProxy& { return *world_.to_target[draw()]; }, true);
  AddProxyFaults(
      "agent and coordinator cut off", "agent and coordinator half-open",
      "agent and coordinator slow", 1,
      [this, draw]() -> TcpProxy& { return *world_.to_coordinator[draw()]; }, false);
  AddProxyFaults(
      "coordinator and store cut off", "coordinator and store half-open",
      "coordinator and store slow", 0.5, [this]() -> TcpProxy& { return *world_.to_store; }, false);
  if (world_.network == nullptr) return;
  Add("an agent's network dead (nft)", 3, [this] {
    if (!stopped_.insert("network").second) return false;
    AwaitOpen(0);
    world_.network->SetDead(true);
    EndAfter(DrawDuration(), [this] {
      world_.network->SetDead(false);
      stopped_.erase("network");
    });
    return true;
  });
}

void ChaosFaults::InjectNext() {
  std::vector<double> weights;
  for (const Kind& kind : kinds_) weights.push_back(kind.weight);
  std::discrete_distribution<size_t> draw(weights.begin(), weights.end());
  const size_t kind = draw(random_);
  striking_ = Hit{.kind = kind};
  if (!kinds_[kind].inject()) return;
  ++injected_;
  ++counts_[kind].injected;
  if (striking_.committing > 0 || !striking_.xids.empty()) hits_.push_back(striking_);
}

int ChaosFaults::struck() {
  std::vector<Hit> open;
  for (const Hit& hit : std::exchange(hits_, {})) {
    bool aborted = false, in_progress = false;
    for (const std::string& xid : hit.xids) {
      const std::string status = world_.StatusOf(xid);
      aborted = aborted || status == "aborted";
      in_progress = in_progress || status == "in progress";
    }
    if (!aborted && in_progress && hit.committing == 0) {
      open.push_back(hit);  // asked again
      continue;
    }
    if (aborted || hit.committing > 0) ++counts_[hit.kind].struck;
    if (hit.committing > 0) ++counts_[hit.kind].in_commit;
  }
  hits_ = std::move(open);
  int all = 0;
  for (const Count& count : counts_) all += count.struck;
  return all;
}

std::string ChaosFaults::Report() {
  const int all_struck = struck();
  std::string report = absl::StrCat(injected_, " faults, ", all_struck,
                                    " of them inside an open batch transaction or its COMMIT\n");
  for (size_t i = 0; i < kinds_.size(); ++i) {
    absl::StrAppend(&report, "  ", counts_[i].injected, " × ", kinds_[i].name);
    if (counts_[i].struck > 0) absl::StrAppend(&report, ", ", counts_[i].struck, " inside a batch");
    if (counts_[i].in_commit > 0) absl::StrAppend(&report, " (in COMMIT)");
    absl::StrAppend(&report, "\n");
  }
  return report;
}

}  // namespace dunlin::testing
