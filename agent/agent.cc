#include "agent/agent.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

#include "agent/control/control_loop.h"
#include "agent/control/coordinator_client.h"
#include "agent/control/target_desk.h"
#include "agent/control/target_monitor.h"
#include "agent/migrations_dir.h"
#include "agent/signals/sampler.h"
#include "agent/task/task_runner.h"
#include "agent/work/crash_memory.h"
#include "agent/work/shard_worker.h"
#include "common/fault.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/migration/undo.h"
#include "common/pg/connection.h"
#include "common/status_macros.h"

namespace dunlin::agent {
namespace {
constexpr absl::Duration kFirstLook = absl::Milliseconds(500);

std::string DefaultName() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host = {"agent"};
  return absl::StrCat(host.data(), ":", getpid());
}

// A report is repeated while the lease lasts; after that the store has forgotten it, and the ledger
// is right anyhow.
constexpr absl::Duration kReportRetryBase = absl::Milliseconds(50);
constexpr absl::Duration kReportRetryCap = absl::Seconds(1);

bool MayRetryReport(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status) || absl::IsCancelled(status);
}

}  // namespace

// Members in the order of their dependencies; keep it so: destruction runs backwards.
struct Agent::Impl {
  Impl(AgentOptions options_in, Clock& clock_in)
      : options(std::move(options_in)),
        clock(clock_in),
        client(options.coordinators),
        definitions(options.migrations_dir, options.any_migration),
        sizes(options.batch_rows) {
    for (const auto& [name, target] : options.targets) {
      sessions.emplace(name, SessionFactory(target.dsn, target.pooled, options.watch));
      unwatched.emplace(name, SessionFactory(target.dsn, target.pooled));
    }
    for (const auto& [name, factory] : unwatched) {
      monitors.push_back(std::make_unique<TargetMonitor>(name, factory, clock));
      samplers.emplace(name, std::make_unique<SignalSampler>(
                                 name, factory, [this] { control->HeartbeatNow(); }, clock));
    }
    ControlLoop::Options control_options{
        .name = options.name.empty() ? DefaultName() : options.name,
        .slots = options.slots,
        .exit_when_idle = options.exit_when_idle};
    for (const auto& [name, target] : options.targets) control_options.targets.push_back(name);
    control = std::make_unique<ControlLoop>(
        control_options, client, monitors,
        [this](std::shared_ptr<LeaseHandle> handle) { Enqueue(std::move(handle)); },
        [this](TargetTask task) {
          const auto desk = desks.find(task.target);
          if (desk != desks.end()) desk->second->Take(std::move(task));
        },
        ControlLoop::Signals{
            .take =
                [this](const std::string& target) {
                  const auto sampler = samplers.find(target);
                  return sampler == samplers.end() ? std::nullopt : sampler->second->Take();
                },
            .set_duties = [this](const std::vector<SignalDuty>& duties) { SetDuties(duties); }},
        clock);
    for (const auto& [name, factory] : unwatched) {
      desks.emplace(name,
                    std::make_unique<TargetDesk>(
                        factory, [this](const TargetTask& task, const TargetTaskAnswer& answer) {
                          Answer(task, answer);
                        }));
    }
    for (int slot = 0; slot < options.slots; ++slot) {
      workers.emplace_back([this](std::stop_token stop) { RunSlot(stop); });
    }
  }

  ~Impl() {
    for (std::jthread& worker : workers) worker.request_stop();
    {
      MutexLock lock(mutex);
      queued.NotifyAll();
    }
  }

  void SetDuties(const std::vector<SignalDuty>& duties) {
    for (const auto& [target, sampler] : samplers) {
      const auto duty =
          std::find_if(duties.begin(), duties.end(),
                       [&, name = target](const SignalDuty& one) { return one.target == name; });
      if (duty == duties.end()) {
        sampler->SetDuty(std::nullopt);
        continue;
      }
      std::vector<MeasuredRun> runs;
      for (const SignalDuty::Run& asked : duty->runs) {
        MeasuredRun& run =
            runs.emplace_back(MeasuredRun{.id = asked.run.id,
                                          .tables = asked.tables,
                                          .throttled_reason = asked.throttled_reason});
        if (asked.run.definition.empty()) continue;
        // A query is only run when the file that it stands in may run here.
        auto definition = definitions.Get(asked.run);
        if (definition.ok()) {
          run.definition = *std::move(definition);
        } else {
          run.refused = std::string(definition.status().message());
        }
      }
      sampler->SetDuty(std::move(runs));
    }
  }

  void Enqueue(std::shared_ptr<LeaseHandle> handle) {
    MutexLock lock(mutex);
    queue.push_back(std::move(handle));  // never more than there are slots
    queued.NotifyOne();
  }

  std::shared_ptr<LeaseHandle> Dequeue(std::stop_token stop) {
    MutexLock lock(mutex);
    while (queue.empty() && !stop.stop_requested()) queued.Wait(mutex);
    if (queue.empty()) return nullptr;
    auto handle = std::move(queue.front());
    queue.pop_front();
    return handle;
  }

  void RunSlot(std::stop_token stop) {
    while (std::shared_ptr<LeaseHandle> handle = Dequeue(stop)) {
      RunLease(*handle);
      control->Finished(handle->lease().id);
    }
  }

  void RunLease(LeaseHandle& handle) {
    const Lease& lease = handle.lease();
    const auto session = sessions.find(lease.run.target);
    absl::StatusOr<std::shared_ptr<const Definition>> definition = definitions.Get(lease.run);
    if (session == sessions.end()) {
      definition = absl::FailedPreconditionError(
          absl::StrCat("this agent has no target ", lease.run.target));
    }
    if (definition.ok() && lease.run.kind == RunSpec::Kind::kUndo) {
      // The bytes are those of the migration (I9); what takes it back follows from them.
      const std::string why = WhyNotUndoable(**definition);
      definition = why.empty() ? absl::StatusOr<std::shared_ptr<const Definition>>(
                                     std::make_shared<const Definition>(MakeUndo(**definition)))
                               : absl::FailedPreconditionError(
                                     absl::StrCat(lease.run.migration, " cannot be undone: ", why));
    }
    const bool is_task = std::holds_alternative<TaskWork>(lease.work);
    if (!definition.ok()) {
      Problem problem{.kind = Problem::Kind::kDefinition,
                      .message = std::string(definition.status().message())};
      is_task ? ReportTask(handle, problem) : Release(handle, {}, problem);
      return;
    }
    if (is_task) {
      RunTaskLease(handle, **definition, session->second);
    } else {
      RunShardLease(handle, **definition, session->second);
    }
  }

  void RunTaskLease(LeaseHandle& handle, const Definition& definition,
                    const SessionFactory& factory) {
    const TaskWork& task = std::get<TaskWork>(handle.lease().work);
    const TaskContext context{.handle = handle,
                              .run = handle.lease().run,
                              .task = task,
                              .definition = definition,
                              .sessions = factory,
                              .clock = clock,
                              .shards = options.shards};
    const TaskResult result = RunTask(context);
    if (std::holds_alternative<std::monostate>(result)) {
      Release(handle, {}, {});
    } else {
      ReportTask(handle, result);
    }
  }

  void RunShardLease(LeaseHandle& handle, const Definition& definition,
                     const SessionFactory& factory) {
    const ShardWork& shard = std::get<ShardWork>(handle.lease().work);
    ShardWorker worker(
        handle, definition, factory, crashes, sizes,
        {.split = [&](const SplitReport& split) { return ReportSplit(handle, split); },
         .quarantine =
             [&](const std::vector<QuarantinedRow>& rows, const Checkpoint& checkpoint) {
               return ReportQuarantine(handle, rows, checkpoint);
             }},
        clock);
    const ShardOutcome outcome = worker.Run();
    if (!outcome.done) {
      Release(handle, outcome.checkpoint, outcome.problem);
      return;
    }
    if (const absl::Status fault = DUNLIN_FAULT("agent.done.before_report"); !fault.ok()) return;
    RetryReport(handle, "complete_shard", [&] {
      return client.CompleteShard(control->agent(), handle.lease().id, handle.server(), shard.id,
                                  shard.epoch, *outcome.checkpoint, outcome.upper);
    });
  }

  bool ReportSplit(LeaseHandle& handle, const SplitReport& split) {
    return RetryReport(handle, "report_split", [&] {
      return client.ReportSplit(control->agent(), handle.lease().id, handle.server(), split);
    });
  }

  QuarantineAnswer ReportQuarantine(LeaseHandle& handle, const std::vector<QuarantinedRow>& rows,
                                    const Checkpoint& checkpoint) {
    const ShardWork& shard = std::get<ShardWork>(handle.lease().work);
    bool stop = false;
    const bool taken = RetryReport(handle, "report_quarantine", [&]() -> absl::Status {
      DUNLIN_ASSIGN_OR_RETURN(
          stop, client.ReportQuarantine(control->agent(), handle.lease().id, handle.server(),
                                        shard.id, shard.epoch, checkpoint, rows));
      return absl::OkStatus();
    });
    if (!taken) return QuarantineAnswer::kNotTaken;
    return stop ? QuarantineAnswer::kStop : QuarantineAnswer::kGoOn;
  }

  void ReportTask(LeaseHandle& handle, const TaskResult& result) {
    const TaskWork& task = std::get<TaskWork>(handle.lease().work);
    RetryReport(handle, "complete_task", [&] {
      return client.CompleteTask(control->agent(), handle.lease().id, handle.server(), task.id,
                                 task.task_epoch, result);
    });
  }

  void Release(LeaseHandle& handle, const std::optional<Checkpoint>& checkpoint,
               const Problem& problem) {
    RetryReport(handle, "release_lease", [&] {
      return client.ReleaseLeases(control->agent(), {agent::Release{.lease = handle.lease().id,
                                                                    .from = handle.server(),
                                                                    .checkpoint = checkpoint,
                                                                    .problem = problem}});
    });
  }

  // Once: what is not answered is asked again.
  void Answer(const TargetTask& task, const TargetTaskAnswer& answer) {
    const absl::Status taken = client.CompleteTargetTask(control->agent(), task.id, answer);
    if (!taken.ok())
      LOG(WARNING)
          << Event("answer_not_taken").Kv("target", task.target).Kv("why", taken.message());
  }

  // True when the coordinator took the report. One that it refuses is not repeated: the ledger is
  // the authority.
  template <typename Call>
  bool RetryReport(LeaseHandle& handle, const char* what, Call call) {
    Backoff backoff(kReportRetryBase, kReportRetryCap, Random01);
    while (true) {
      const absl::Status status = call();
      if (status.ok()) return true;
      if (!MayRetryReport(status) || !handle.Valid()) {
        LOG(WARNING) << Event("report_not_taken").Kv("report", what).Kv("why", status.message());
        return false;
      }
      clock.SleepFor(backoff.Next(), handle.lost_token());
    }
  }

  AgentOptions options;
  Clock& clock;
  CoordinatorClient client;
  DefinitionSource definitions;
  CrashMemory crashes;
  SizeMemory sizes;
  std::map<std::string, SessionFactory> sessions, unwatched;
  std::vector<std::unique_ptr<TargetMonitor>> monitors;
  std::unique_ptr<ControlLoop> control;
  std::map<std::string, std::unique_ptr<SignalSampler>> samplers;
  Mutex mutex;
  CondVar queued;
  std::deque<std::shared_ptr<LeaseHandle>> queue ABSL_GUARDED_BY(mutex);
  std::map<std::string, std::unique_ptr<TargetDesk>> desks;
  std::vector<std::jthread> workers;
};

Agent::Agent(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Agent::~Agent() = default;

absl::StatusOr<std::unique_ptr<Agent>> Agent::Make(AgentOptions options, Clock& clock) {
  if (options.coordinators.empty())
    return absl::InvalidArgumentError("an agent needs at least one --coordinator");
  if (options.targets.empty())
    return absl::InvalidArgumentError("an agent needs at least one --target NAME=DSN");
  if (options.slots < 1 || options.slots > kMaxSlotsPerAgent) {
    return absl::InvalidArgumentError(absl::StrCat("--slots must be 1 to ", kMaxSlotsPerAgent));
  }
  for (const auto& [name, target] : options.targets) {
    const absl::Status valid = pg::ValidateDsn(target.dsn);
    if (!valid.ok())
      return absl::InvalidArgumentError(absl::StrCat("target ", name, ": ", valid.message()));
  }
  return std::unique_ptr<Agent>(new Agent(std::make_unique<Impl>(std::move(options), clock)));
}

void Agent::Run(std::stop_token stop) {
  for (const auto& monitor : impl_->monitors) monitor->WaitForFirstLook(kFirstLook);
  impl_->control->Run(stop);
}

}  // namespace dunlin::agent
