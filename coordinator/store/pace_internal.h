// Between signal_store.cc, pace_store.cc and those who ask them; nothing for others.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"

#include "dunlin/agent/v1/agent_service.pb.h"

#include "common/migration/definition.h"
#include "coordinator/logic/pace_controller.h"
#include "coordinator/logic/pressure.h"
#include "coordinator/store/run_editor.h"
#include "coordinator/store/store.h"
#include "coordinator/store/transaction.h"

namespace dunlin::coordinator {

// What is known of a target now, by the store's clock.
struct TargetView {
  SignalBoard board;
  bool alone = false;  // nobody but Dunlin is at work there
  absl::Time now;
  absl::Duration deadlock_timeout;  // zero = not known
};
absl::StatusOr<TargetView> ReadTargetView(Transaction& tx, const std::string& target);

// What an agent has measured; ignored when the duty is another's.
absl::Status TakeSignals(Transaction& tx, const std::string& agent,
                         const agent_pb::TargetSignals& signals);
// One agent measures each target; another takes over when it is not heard of any more. Renews the
// duties of this one, or gives it those that nobody has.
absl::Status GrantSignalDuties(Transaction& tx, const std::string& agent,
                               const std::vector<std::string>& targets,
                               absl::Duration heartbeat_interval,
                               agent_pb::HeartbeatResponse& response);
// The tables of all steps, as in the file.
std::set<std::string> TablesOf(const Definition& definition);

// 0 = never.
absl::Time FromSeconds(double seconds);
double ToSeconds(absl::Time time);

}  // namespace dunlin::coordinator
