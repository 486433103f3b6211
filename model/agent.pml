/* A worker of an agent: one lease at a time (ShardWorker, RunTask). It works with what its claim returned and with what it was
 * told, never with what others know. */

inline ForgetLease(who) {
  W[who].phase = IDLE; W[who].task = NOTHING; W[who].shard = 0; W[who].born = 0; W[who].epoch = 0; W[who].generation = 0;
  W[who].on = 0; W[who].upper = 0; W[who].cursor = 0; W[who].child = 0; W[who].problem = NOTHING
}

inline ForgetSeen(who) {
  for (j : 0 .. SHARDS - 1) {
    seen[who].lower[j] = 0; seen[who].upper[j] = 0; seen[who].cursor[j] = 0; seen[who].epoch[j] = 0; seen[who].born[j] = 0
  }
  seen[who].run_row = false; seen[who].finished = false
}

inline ReadShards(who) {
  for (j : 0 .. SHARDS - 1) {
    seen[who].lower[j] = T.lower[j]; seen[who].upper[j] = T.upper[j]; seen[who].cursor[j] = T.cursor[j];
    seen[who].epoch[j] = T.epoch[j]; seen[who].born[j] = T.born[j]
  }
  j = 0
}

#define ME W[me]
#define S ME.shard
#define CLAIMS (ME.phase == GRANTED && ME.task == NOTHING && TIED)
#define MATCHES CLAIM_MATCHES(S, ME.born, ME.epoch, ME.upper)
#define PASSES FENCE_PASSES(S, ME.born, ME.epoch, ME.cursor, ME.upper)
#define HOLDER_EPOCH (lock[S] <= AGENTS -> W[lock[S] - 1].epoch : orphan[lock[S] - AGENTS - 1].epoch)

/* LeaseHandle::TieTo: a session on another timeline than the grant names is of no use. Sessions end with their server; behind a
 * pooler they do not, and a task looks at the timeline in its transaction (so does a batch in the code; here its fence has to do). */
#define SAME_SERVER (ME.on == timeline)
#ifdef without_timeline
#define TIED true
#else
#define TIED SAME_SERVER
#endif
#ifdef POOLED
#define SESSION true
#else
#define SESSION SAME_SERVER
#endif
#ifdef timeline_of_session_only
#define TASK_SESSION true
#else
#define TASK_SESSION SAME_SERVER
#endif

/* A call whose request comes late, or comes again: the agent has given up, or goes on. */
typedef Message {
  mtype kind;
  byte shard;
  byte born;
  byte epoch;
  byte generation;
  byte on;
  byte upper;
  byte cursor;
  byte child;
  mtype problem;
}
Message late;
inline ForgetLate() {
  late.kind = NOTHING; late.shard = 0; late.born = 0; late.epoch = 0; late.generation = 0; late.on = 0; late.upper = 0;
  late.cursor = 0; late.child = 0; late.problem = NOTHING
}
#ifdef LATE
inline Late(a_call) {
  late.kind = a_call; late.shard = S; late.born = ME.born; late.epoch = ME.epoch; late.generation = ME.generation;
  late.on = ME.on; late.upper = ME.upper; late.cursor = ME.cursor; late.child = ME.child; late.problem = ME.problem
}
#define MAY_BE_LATE (FAULT && late.kind == NOTHING)
#endif

/* The work ends here and the lease goes back (ShardWorker::Ending, InDoubt). Nothing is inferred. */
inline GiveBack(with_problem) {
  ME.phase = RELEASING; ME.problem = with_problem; ME.cursor = 0; ME.child = 0
}

/* The transaction is over, whichever way: so are its row locks. */
inline Unlock() {
#ifdef fence_after_data
  row_lock[ME.cursor + 1] = 0;
#endif
  lock[S] = 0
}

/* A commit in doubt. */
inline Doubt() {
#ifdef in_doubt_by_read
  ME.phase = LOOKED
#elif defined(in_doubt_same_epoch)
  ME.phase = GRANTED; ME.cursor = 0
#else
  GiveBack(NOTHING)
#endif
}

/* After a claim or a batch. Done only by a write of its own (I4). */
inline Continue() {
  ME.phase = (ME.cursor == ME.upper -> DONE : OWNER)
}

/* ClaimBehindHungOwner. */
inline TerminateBlocker() {
  n = lock[S] - 1;
  lock[S] = 0;
  if
  :: n >= AGENTS -> ForgetOrphan(n - AGENTS)
  :: else ->
#ifdef fence_after_data
     row_lock[W[n].cursor + 1] = 0;
#endif
     W[n].phase = RELEASING; W[n].problem = NOTHING; W[n].cursor = 0
  fi
}

/* What a claim has waited for. With row locks of a former owner about, the new one's first batch would wait behind them. */
inline NoBatchInFlight(of_shard) {
  for (i : 0 .. AGENTS - 1) {
    REQUIRE(I3_fencing, !(W[i].task == NOTHING && W[i].shard == of_shard && (W[i].phase == IN_BATCH || W[i].phase == UNFENCED)))
  }
  i = 0
}

/* n shards in the ledger, so many undone. */
inline WhatIsLeft() {
  n = 0; undone = 0;
  for (j : 0 .. SHARDS - 1) {
    if
    :: T.upper[j] != 0 ->
       n++;
       if
       :: T.cursor[j] != T.upper[j] -> undone++
       :: else
       fi
    :: else
    fi
  }
  j = 0
}

proctype Agent(byte me) {
end:
  do
  /* ---- Claim (ClaimShard). One that matches waits for the row lock; one that does not returns at once. */
  :: d_step { ME.phase == GRANTED && !TIED ->
       printf("agent %d: the target is on timeline %d, not %d\n", me, timeline, ME.on);
       ME.on = timeline; ME.phase = RELEASING
     }
  :: d_step { CLAIMS && MATCHES && lock[S] == 0 ->
       printf("agent %d: claims shard %d under epoch %d\n", me, S, ME.epoch);
       NoBatchInFlight(S);
       CommitClaim(S, ME.epoch);
       ME.on = timeline; ME.cursor = T.cursor[S];
       Continue()
     }
  :: d_step { CLAIMS && MATCHES && lock[S] != 0 && HOLDER_EPOCH < ME.epoch ->
       printf("agent %d: terminates the backend that blocks its claim of shard %d\n", me, S);
       TerminateBlocker()
     }
  :: d_step { CLAIMS && !MATCHES ->                                                          /* WhyNotClaimed */
       printf("agent %d: its claim of shard %d under epoch %d matches no row\n", me, S, ME.epoch);
       if
#ifdef claim_inserts
       :: T.upper[S] == 0 && T.run_row ->
          T.lower[S] = ME.cursor; T.upper[S] = ME.upper; T.cursor[S] = ME.cursor; T.born[S] = ME.born;
          CommitClaim(S, ME.epoch);
          ME.cursor = T.cursor[S];
          Continue()
#endif
       :: T.upper[S] == ME.upper && T.born[S] == ME.born && !T.finished ->
          ME.phase = RELEASING; ME.problem = STALE_EPOCH; ME.cursor = T.epoch[S]
       :: else -> GiveBack(MISMATCH)
       fi
     }
  :: d_step { FAULT && ROOM_FOR_ORPHAN && CLAIMS ->
       PAY;
       printf("agent %d: its claim of shard %d under epoch %d is in doubt\n", me, S, ME.epoch);
       Orphaned(CLAIM, S, ME.born, ME.epoch, 0, ME.upper);
       Doubt()
     }
#ifdef done_from_read
  :: d_step { CLAIMS && MATCHES && T.cursor[S] == T.upper[S] ->
       printf("agent %d: reads that shard %d is done\n", me, S);
       ME.cursor = ME.upper; ME.phase = DONE
     }
#endif

  /* ---- Batch (BatchRunner::Run). The fence locks the shard's row before any row of the application. */
#ifndef fence_after_data
  :: d_step { ME.phase == OWNER && SESSION && lock[S] == 0 ->
       printf("agent %d: begins a batch of shard %d behind %d\n", me, S, ME.cursor);
       if
       :: PASSES -> ME.phase = IN_BATCH; lock[S] = me + 1
#ifdef fence_does_not_raise
       :: else -> ME.phase = LOOSE
#else
       :: else -> GiveBack(NOTHING)
#endif
       fi
     }
#else
  :: d_step { ME.phase == OWNER && SESSION && row_lock[ME.cursor + 1] == 0 ->
       printf("agent %d: changes the rows of key %d\n", me, ME.cursor + 1);
       ME.phase = UNFENCED; row_lock[ME.cursor + 1] = me + 1
     }
  :: d_step { ME.phase == UNFENCED && lock[S] == 0 ->
       printf("agent %d: comes to its fence\n", me);
       if
       :: PASSES -> ME.phase = IN_BATCH; lock[S] = me + 1
       :: else -> row_lock[ME.cursor + 1] = 0; GiveBack(NOTHING)
       fi
     }
#endif
#ifndef cursor_outside_transaction
  :: d_step { ME.phase == IN_BATCH ->
       printf("agent %d: commits its batch of shard %d up to %d\n", me, S, ME.cursor + 1);
       Unlock();
       CommitBatch(S, ME.epoch, ME.cursor);
       ME.cursor++;
       Continue()
     }
#else
  :: d_step { ME.phase == IN_BATCH ->
       printf("agent %d: commits the rows of its batch of shard %d up to %d\n", me, S, ME.cursor + 1);
       REQUIRE(I1_exactly_once, !T.changed[ME.cursor + 1]);
       lock[S] = 0; T.changed[ME.cursor + 1] = true; ME.phase = CHANGED
     }
  :: d_step { ME.phase == CHANGED && lock[S] == 0 && T.epoch[S] == ME.epoch ->
       printf("agent %d: commits the cursor of shard %d\n", me, S);
       T.cursor[S] = ME.cursor + 1; SyncCommit(); ME.cursor++; Continue()
     }
#endif
  :: d_step { FAULT && ROOM_FOR_ORPHAN && ME.phase == IN_BATCH ->
       PAY;
       printf("agent %d: its COMMIT of shard %d up to %d is in doubt\n", me, S, ME.cursor + 1);
       Unlock();
       Orphaned(BATCH, S, ME.born, ME.epoch, ME.cursor, ME.upper);
       lock[S] = AGENTS + 1 + n;
       Doubt()
     }
#ifdef CRASH
  :: d_step { FAULT && ME.phase == IN_BATCH ->
       PAY;
       printf("agent %d: its COMMIT of shard %d up to %d is known to be local only\n", me, S, ME.cursor + 1);
       Unlock();
       CommitUndurable(S, ME.cursor);
       Doubt()
     }
#endif
  :: d_step { FAULT && ME.phase == IN_BATCH ->
       PAY;
       printf("agent %d: its COMMIT of shard %d is answered ROLLBACK\n", me, S);
       Unlock();
#ifdef commit_tag_not_read
       ME.cursor++; Continue()
#else
       Doubt()
#endif
     }
  :: d_step { FAULT && ME.phase == IN_BATCH ->
       PAY;
       printf("agent %d: a statement of its batch of shard %d fails\n", me, S);
       Unlock();
#ifdef savepoint_around_fence
       ME.phase = LOOSE
#else
       ME.phase = OWNER
#endif
     }
#if defined(fence_does_not_raise) || defined(savepoint_around_fence)
  :: d_step { ME.phase == LOOSE && lock[S] == 0 ->
       printf("agent %d: commits a batch of shard %d up to %d without its lock\n", me, S, ME.cursor + 1);
       CommitBatch(S, ME.epoch, ME.cursor);
       ME.cursor++;
       Continue()
     }
#endif
#ifdef in_doubt_by_read
  :: d_step { ME.phase == LOOKED && ME.task == NOTHING ->
       printf("agent %d: reads where shard %d is\n", me, S);
       ME.cursor = T.cursor[S]; ME.upper = T.upper[S];
       Continue()
     }
#endif

  /* ---- Split (ShardWorker::Split). The ledger first, then the store. */
#ifdef SPLITS
  :: d_step { ME.phase == OWNER && SESSION && lock[S] == 0 && ROOM_TO_SPLIT(ME.cursor, ME.upper) ->
       printf("agent %d: splits shard %d behind %d\n", me, S, ME.cursor + 1);
       CommitSplit(S, ME.born, ME.epoch, ME.cursor, ME.upper);
       if
       :: k < SHARDS -> ME.phase = SPLIT_OFF; ME.child = k
       :: else -> GiveBack(NOTHING)
       fi
     }
  :: d_step { FAULT && ROOM_FOR_ORPHAN && ME.phase == OWNER && SESSION && ROOM_TO_SPLIT(ME.cursor, ME.upper) ->
       PAY;
       printf("agent %d: its split of shard %d behind %d is in doubt\n", me, S, ME.cursor + 1);
       Orphaned(SPLIT, S, ME.born, ME.epoch, ME.cursor, ME.upper);
       Doubt()
     }
  :: d_step { ME.phase == SPLIT_OFF ->
       printf("agent %d: reports its split of shard %d\n", me, S);
       ReportSplit(S, ME.born, ME.epoch, ME.generation, ME.on, ME.cursor + 1, ME.child, ME.upper);
       if
       :: ok -> ME.phase = OWNER; ME.upper = ME.cursor + 1; ME.child = 0
       :: else -> GiveBack(NOTHING)  /* never repeated under another epoch */
       fi
     }
#ifdef LATE
  :: d_step { MAY_BE_LATE && ME.phase == SPLIT_OFF ->
       PAY;
       printf("agent %d: its report of a split of shard %d is delayed, and it gives up\n", me, S);
       Late(SPLIT);
       GiveBack(NOTHING)
     }
  :: d_step { MAY_BE_LATE && ME.phase == SPLIT_OFF ->
       PAY;
       printf("agent %d: its report of a split of shard %d is taken, and comes twice; the answer is lost\n", me, S);
       Late(SPLIT);
       ReportSplit(S, ME.born, ME.epoch, ME.generation, ME.on, ME.cursor + 1, ME.child, ME.upper);
       GiveBack(NOTHING)
     }
#endif
#endif

  /* ---- The end of a shard's lease (Agent::Impl::RunShardLease). */
  :: d_step { ME.phase == DONE ->
       printf("agent %d: reports shard %d done up to %d\n", me, S, ME.upper);
       CompleteShard(S, ME.born, ME.epoch, ME.generation, ME.on, ME.upper);
       ForgetLease(me)
     }
  :: d_step { ME.phase == RELEASING && ME.task == NOTHING ->
       printf("agent %d: gives shard %d back: %e\n", me, S, ME.problem);
       ReleaseShard(S, ME.born, ME.epoch, ME.generation, ME.on, ME.problem, ME.cursor);
       ForgetLease(me)
     }
#ifdef LATE
  :: d_step { MAY_BE_LATE && ME.phase == DONE ->
       PAY;
       printf("agent %d: its report that shard %d is done is delayed, and it gives up\n", me, S);
       Late(COMPLETE);
       ForgetLease(me)
     }
  :: d_step { MAY_BE_LATE && ME.phase == DONE ->
       PAY;
       printf("agent %d: its report that shard %d is done is taken, and comes twice\n", me, S);
       Late(COMPLETE);
       CompleteShard(S, ME.born, ME.epoch, ME.generation, ME.on, ME.upper);
       ForgetLease(me)
     }
  :: d_step { MAY_BE_LATE && ME.phase == RELEASING && ME.task == NOTHING ->
       PAY;
       printf("agent %d: its release of shard %d is delayed, and it gives up\n", me, S);
       Late(RELEASE);
       ForgetLease(me)
     }
#endif
  :: d_step { ME.phase == OWNER && !(C.lease[S] == ME.generation && C.epoch[S] == ME.epoch && C.born[S] == ME.born) ->
       printf("agent %d: hears that its lease of shard %d is lost\n", me, S);
       ForgetLease(me)
     }
  :: d_step { ME.phase == OWNER && !SESSION ->
       printf("agent %d: has lost its session\n", me);
       GiveBack(NOTHING)
     }
#ifdef PAUSE
  :: d_step { ME.phase == OWNER && C.state != RUNNING ->
       printf("agent %d: hears that the run stops\n", me);
       GiveBack(NOTHING)
     }
#endif
  :: d_step { FAULT && ME.phase != IDLE ->
       PAY;
       printf("agent %d: dies\n", me);
       if
       :: ME.phase == IN_BATCH -> Unlock()  /* its backend rolls back */
#ifdef fence_after_data
       :: ME.phase == UNFENCED -> row_lock[ME.cursor + 1] = 0
#endif
       :: else
       fi;
       ForgetSeen(me);
       ForgetLease(me)
     }

  /* ---- Plan (RunPlan). An earlier try may have committed: then its shards are reported, after a write of our own. */
  :: d_step { ME.phase == GRANTED && ME.task == PLAN && TIED ->
       printf("agent %d: registers the run, and looks for shards of step %d\n", me, S);
       T.run_row = true;
       SyncCommit();
       ME.on = timeline;
       LookForShards(S);
       if
       :: ok && T.task_epoch < ME.epoch ->  /* TakeOverEarlierPlan */
          T.task_epoch = ME.epoch; SyncCommit(); ReadShards(me); ME.phase = REPORTING
       :: ok && T.task_epoch >= ME.epoch -> ME.phase = RELEASING
       :: !ok -> ME.phase = BARRIER_PASSED
       fi
     }
  :: d_step { ME.phase == BARRIER_PASSED && TASK_SESSION ->  /* InsertPlan */
       printf("agent %d: plans step %d under task epoch %d\n", me, S, ME.epoch);
       CommitPlan(S, ME.epoch);
       if
       :: ok -> ReadShards(me); ME.phase = REPORTING
       :: else ->
          LookForShards(S);
          ME.phase = (ok && T.task_epoch < ME.epoch -> GRANTED : RELEASING)  /* DN004: an earlier try was quicker */
       fi
     }
  :: d_step { FAULT && ROOM_FOR_ORPHAN && ME.phase == BARRIER_PASSED && TASK_SESSION ->
       PAY;
       printf("agent %d: its plan of step %d is in doubt\n", me, S);
       Orphaned(PLAN, S, 0, ME.epoch, 0, 0);
       ME.phase = RELEASING
     }

  /* ---- Finalize (RunFinalize), one transaction that waits for every batch. */
  :: d_step { ME.phase == GRANTED && ME.task == FINALIZE && TIED && NO_LOCK ->
       printf("agent %d: finalizes under task epoch %d, the store knows %d shards\n", me, ME.epoch, S);
       ME.on = timeline;
       WhatIsLeft();
       if
#ifndef finalize_unfenced
       :: T.run_row && T.task_epoch >= ME.epoch -> ME.phase = RELEASING  /* DN003 */
#endif
       :: T.run_row && undone == 0 && n == S ->
          REQUIRE(I3_fencing, T.task_epoch < ME.epoch);
#ifndef finalize_unfenced
          T.task_epoch = ME.epoch;
#endif
          T.finished = true;
          SyncCommit();
          ME.phase = REPORTING
       :: else -> ME.phase = REPORTING; ME.problem = MISMATCH
       fi
     }
  :: d_step { FAULT && ME.phase == GRANTED && ME.task == FINALIZE && TIED && NO_LOCK && T.run_row && T.task_epoch < ME.epoch ->
       PAY;
       WhatIsLeft();
       if
       :: undone == 0 && n == S ->
          printf("agent %d: finalizes, and its COMMIT, which is carried out, is in doubt\n", me);
          T.task_epoch = ME.epoch; T.finished = true; SyncCommit()
       :: else
       fi;
       ME.phase = RELEASING
     }

  /* ---- Reconcile (RunReconcile). */
  :: d_step { ME.phase == GRANTED && ME.task == RECONCILE && TIED ->
       printf("agent %d: reads the run's row\n", me);
       ME.on = timeline;
       seen[me].run_row = T.run_row; seen[me].finished = T.finished;
       ME.phase = (T.run_row -> LOOKED : REPORTING)
     }
  :: d_step { ME.phase == LOOKED && ME.task == RECONCILE && TASK_SESSION ->
       printf("agent %d: reads the ledger's shards under task epoch %d\n", me, ME.epoch);
       if
       :: T.run_row && T.task_epoch < ME.epoch ->
          T.task_epoch = ME.epoch; SyncCommit(); ReadShards(me); ME.phase = REPORTING
       :: else -> ForgetSeen(me); ME.phase = RELEASING
       fi
     }

  /* ---- The end of a task's lease (Agent::Impl::RunTaskLease). */
  :: d_step { (ME.phase == BARRIER_PASSED || ME.phase == LOOKED) && ME.task != NOTHING && !TASK_SESSION ->
       printf("agent %d: has lost its session\n", me);
       ForgetSeen(me); ME.phase = RELEASING
     }
  :: d_step { ME.phase == REPORTING ->
       printf("agent %d: reports its %e: %e\n", me, ME.task, ME.problem);
       CompleteTask(me, ME.task, ME.epoch, ME.generation, ME.on, S, ME.problem);
       ForgetSeen(me);
       ForgetLease(me)
     }
  :: d_step { ME.phase == RELEASING && ME.task != NOTHING ->
       printf("agent %d: gives its %e back\n", me, ME.task);
       ReleaseTask(ME.task, ME.epoch, ME.generation, ME.on);
       ForgetLease(me)
     }
#ifdef LATE
  :: d_step { MAY_BE_LATE && ME.phase == REPORTING && ME.task == FINALIZE ->
       PAY;
       printf("agent %d: its report of the finalize is delayed, and it gives up\n", me);
       Late(FINALIZE);
       ForgetLease(me)
     }
  :: d_step { MAY_BE_LATE && ME.phase == REPORTING && ME.task == FINALIZE ->
       PAY;
       printf("agent %d: its report of the finalize is taken, and comes twice\n", me);
       Late(FINALIZE);
       CompleteTask(me, ME.task, ME.epoch, ME.generation, ME.on, S, ME.problem);
       ForgetLease(me)
     }
#endif
  od
}
