#pragma once

#include <stop_token>

#include "agent/lease.h"
#include "agent/ledger/session.h"

namespace dunlin::agent {

// Answers one question to a target, or makes one small change of its ledger. Each is one short
// transaction; doing it twice does no harm. Blocking: a few seconds at most.
TargetTaskAnswer RunTargetTask(const TargetTask& task, const SessionFactory& sessions,
                               std::stop_token stop);

}  // namespace dunlin::agent
