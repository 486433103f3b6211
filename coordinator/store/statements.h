// Every SQL statement of the store. A test prepares each on a real server.
#pragma once

#include "common/pg/types.h"

namespace dunlin::coordinator::sql {

extern const char* const kBegin;
extern const char* const kBeginReadOnly;

extern const pg::Statement kStoreId, kNow;
extern const pg::Statement kFindRequest, kInsertRequest, kPruneRequests, kPruneAgents;
// run
extern const pg::Statement kLockRun, kTryLockRun, kSaveRun, kInsertRun, kInsertEvent;
extern const pg::Statement kRunByIdText, kRunByName, kNewestRunOfTarget, kKnownTargets,
    kCurrentDatabase;
extern const pg::Statement kRunFacts, kAgentsOfTarget;
// order and outcomes
extern const pg::Statement kWaitFacts, kStandIn, kEarlierUnfinished, kSupersededBy, kWhatReplaced,
    kMarkVoid, kNewestRunBeside, kStartedWith, kApproval, kApprove, kRunsToPause,
    kRunsPausedWithAll, kTellLeft, kUndoOf, kOpenUndoOf, kMarkForgotten, kMarkConfirmed;
// taking a target over
extern const pg::Statement kBeginAdoption, kLockAdoption, kSetFormerStore, kSetPending,
    kCountLearned, kEndAdoption, kReadAdoption, kAllRunsOfTarget, kInsertAdoptedRun;
// gates and what is asked of targets
extern const pg::Statement kRunsOfName, kGateFacts, kLocalLedger, kLocalOutcome, kBeginToTell,
    kClaimNotices, kMarkProgress, kNoteTold, kAskTarget, kAskTargetAnew, kGrantTargetTasks,
    kTargetTask, kAnswerTargetTask, kConfirmRuns, kPruneTargetTasks;
extern const pg::Statement kInsertTask, kInsertVerifyTask, kDropOpenTasks, kDropVerifyTasks,
    kShardsOfStep;
extern const pg::Statement kRowsDone, kAnyBatchCommitted, kLockName, kForgiveShards, kMarkStarted,
    kMarkWorking, kMarkFinished;
// reading
extern const pg::Statement kReadRun, kListRuns, kReadShards, kListShards, kListEvents, kListAgents,
    kRevisions, kOldestRevision;
// agents
extern const pg::Statement kInsertAgent, kKnownAgent, kTouchAgent, kHungryAgent, kPeekTarget,
    kUpsertTarget, kSignal;
extern const pg::Statement kRunsOfAcquire, kLeasesOfAcquire, kTaskLeasesOfAcquire, kCandidateRuns,
    kGrantShards, kGrantTask, kLeasesInWork, kLeasesTooMany;
extern const pg::Statement kRunsOfLeases, kCheckpoint, kShardsOfLeases, kTasksOfLeases,
    kTaskWaiting, kRenewShards, kRenewTasks;
extern const pg::Statement kUnlistedLeases, kRunsLive, kSplitCandidates, kMarkSplit, kHungryAgents;
// reports
extern const pg::Statement kShardByLease, kTaskByLease, kCompleteShard, kReleaseShard, kReleaseTask,
    kRaiseEpoch, kMoveUpper, kInsertShard, kDropShardsOfStep, kTaskDone, kDropTaskOfLease,
    kInsertChild, kTroublesOfShard, kTroublesOfTask, kDropShard, kReconcileShard, kStepsWithShards,
    kPlannedSystem, kMarkPlannedOn, kMarkUnfinished, kMarkFinishedRuns, kAddTarget, kLockTarget;
// quarantine
extern const pg::Statement kAddQuarantined, kUpdateQuarantined, kDropQuarantined,
    kDropQuarantineOfRun, kMarkAccepting, kAccepting, kQuarantineFacts, kQuarantineReasons,
    kListQuarantined;
// sweep
extern const pg::Statement kRunsToSweep, kExpireShards, kExpireTasks, kRevokeShards, kRevokeTasks,
    kRunsOfTarget, kPendingRunsOfTargets, kRunsWithLeases;
extern const pg::Statement kNowSeconds, kReadThrottle, kSaveThrottle, kSetLimits, kThrottledBy,
    kLiveRuns, kSetPriority, kSharesOfTarget, kPriority;
extern const pg::Statement kReadPace, kSavePace, kForgetPace, kLockSignals, kSaveSignals,
    kElectMeasurer, kReadSignals, kRunsToMeasure;
extern const pg::Statement kPaceFacts, kUpdateRate, kPruneEvents, kSetOldest, kAllRuns;

}  // namespace dunlin::coordinator::sql
