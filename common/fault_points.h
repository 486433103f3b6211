// Every named fault point and tunable constant, in one place. A name says where:
// <process>.<part>.<moment>.
#pragma once

namespace dunlin {

inline constexpr const char* kFaultPoints[] = {
    "agent.claim.before",
    "agent.claim.after",
    "agent.batch.after_fence",
    "agent.batch.before_commit",
    "agent.batch.after_commit",
    "agent.batch.commit_sent",
    "agent.split.before_commit",
    "agent.split.after_commit",
    "agent.plan.before_commit",
    "agent.plan.after_commit",
    "agent.done.before_report",
    "agent.finalize.before_commit",
    "agent.finalize.after_commit",
    "agent.heartbeat.before",
    "coordinator.rpc.before",
    "coordinator.rpc.after",
    "coordinator.sweep.before",
    "agent.quarantine.before_commit",
    "agent.quarantine.after_commit",
    "agent.retry.before_commit",
    "agent.retry.after_commit",
};

// Calls to a server, each of which a test can make fail (call_fault.h): a name says by what means.
inline constexpr const char* kCallPoints[] = {
    "libpq.connect",  "libpq.pipeline", "libpq.script", "libpq.send",
    "libpq.describe", "stub.unary",     "stub.stream",
};

inline constexpr const char* kTunables[] = {
    "agent.batch.deadline",       "agent.split.rows_min",       "coordinator.pace.lowest_rung",
    "coordinator.split.rows_min", "coordinator.split.work_min",
};

}  // namespace dunlin
