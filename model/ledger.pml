/* The ledger protocol of Dunlin: one run from its plan to its finish row, and everything that may go wrong on the way.
 *
 *   target.pml       the target: ledger, rows, and the transactions on them
 *   store.pml        the coordinator's store: grants, reports, reconcile, failover
 *   agent.pml        a worker with one lease at a time: claim, batches, split, tasks
 *   environment.pml  what happens to them all: connections, processes and servers that end, calls that come late or twice
 *
 * Every option of a process is one atomic action. What the environment does to the run is paid from one budget, FAULTS. That an
 * agent is slow, stopped or cut off costs nothing, since any action of others may come first: every agent may be a zombie. A key
 * stands for the rows of one batch, so that the number of batches (seq) is the cursor's distance from the shard's lower bound.
 *
 * `configurations` says which parts are switched on together, README.md how to read a counterexample. */

#ifndef AGENTS
#define AGENTS 2
#endif
#ifndef STEPS
#define STEPS 1
#endif
#ifndef KEYS    /* of one step: step p has the keys p * KEYS + 1 .. (p + 1) * KEYS */
#define KEYS 2
#endif
#ifndef PLANNED /* shards that a plan makes of a step */
#define PLANNED 1
#endif
#ifndef SHARDS  /* room for the shards of all steps, children of splits, and what is planned again elsewhere */
#define SHARDS (STEPS * PLANNED)
#endif
#ifndef ORPHANS
#define ORPHANS 1
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef TIMELINES
#define TIMELINES 2
#endif
#define ALL_KEYS (STEPS * KEYS)
#define STEP_OF(lower) ((lower) / KEYS)
#define MOST_GRANTS 40

/* A mutation takes one lock off a door. Where others would hold it shut, they come off too. */
#if defined(in_doubt_by_read) || defined(in_doubt_same_epoch) || defined(commit_tag_not_read) || \
    defined(fence_does_not_raise) || defined(savepoint_around_fence)
#define without_seq_and_upper
#endif
#if defined(claim_inserts) || defined(finalize_without_reconcile)
#define without_timeline
#endif

/* pan names what is violated: "assertion violated I1_exactly_once". */
hidden byte I1_exactly_once = true;
hidden byte I2_coverage = true;
hidden byte I3_fencing = true;
hidden byte I4_durable_before_done = true;
hidden byte I5_monotonic = true;
hidden byte lost_history_is_explained = true;
hidden byte the_run_finishes = true;
#define REQUIRE(name, holds) if :: (holds) :: else -> name = false; assert(name) fi

/* Of one action, never kept. */
hidden byte i;
hidden byte j;
hidden byte k;
hidden byte n;
hidden byte undone;
hidden byte leases;
hidden byte ok;
hidden byte again;

byte faults = FAULTS;
#define FAULT (faults > 0)
#define PAY faults--

mtype = { NOTHING, CLAIM, BATCH, SPLIT, COMPLETE, RELEASE };            /* transactions and calls */
mtype = { PLAN, FINALIZE, RECONCILE };                                  /* tasks, and the calls that report them */
mtype = { RUNNING, FINALIZING, FINISHED, PAUSING, PAUSED };             /* the run; PLANNING is RUNNING with a plan to be made */
mtype = { IDLE, GRANTED, OWNER, IN_BATCH, DONE, SPLIT_OFF, RELEASING,   /* what a worker is at */
          BARRIER_PASSED, LOOKED, REPORTING, UNFENCED, LOOSE, CHANGED };
mtype = { STALE_EPOCH, MISMATCH };                                      /* problems */

typedef Worker {
  mtype phase;
  mtype task;       /* NOTHING: the lease is a shard's */
  byte shard;       /* of a plan: the step; of a finalize: how many shards the store knows */
  byte born;
  byte epoch;
  byte generation;  /* of the store that granted the lease */
  byte on;          /* the timeline that the grant names; then the session's, which is the same */
  byte upper;       /* as granted, then as claimed */
  byte cursor;      /* as claimed, then as committed; of a stale epoch: the ledger's */
  byte child;       /* of a split that is to be reported */
  mtype problem;
}
Worker W[AGENTS];

#include "target.pml"
#include "store.pml"
#include "agent.pml"
#include "environment.pml"

/* Nothing is left to do: the run is finished, in the store and in the ledger, and every row is changed. Together with the absence
 * of cycles, which script/model looks for as well, this says that every execution with so many faults ends, and ends well. */
proctype End() {
  timeout ->
  d_step {
    REQUIRE(the_run_finishes, C.state == FINISHED && T.finished);
    for (i : 1 .. ALL_KEYS) { REQUIRE(I1_exactly_once, T.changed[i]) }
    i = 0
  }
}

init {
  atomic {
    d_step {
      for (i : 0 .. AGENTS - 1) { ForgetLease(i) }
      for (i : 0 .. ORPHANS - 1) { ForgetOrphan(i) }
      ForgetLate();
      EmptyStore(C);
      C.state = RUNNING;
      C.known_timeline = 1;
#ifdef PLANNED_BEFORE
      T.run_row = true;
      for (k : 0 .. STEPS - 1) { InsertShards(k) }
      SyncCommit();
      for (i : 0 .. SHARDS - 1) { C.lower[i] = T.lower[i]; C.upper[i] = T.upper[i]; C.born[i] = T.born[i] }
      C.planned_steps = STEPS;
      C.planned_timeline = 1;
#endif
      Settle();
    }
    run Agent(0);
#if AGENTS > 1
    run Agent(1);
#endif
#if AGENTS > 2
    run Agent(2);
#endif
    run Backend(0);
#if ORPHANS > 1
    run Backend(1);
#endif
    run Store();
    run Environment();
    run End();
  }
}
