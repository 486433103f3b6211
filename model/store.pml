/* The coordinator's store. Each inline is one transaction, or a part of one, under the lock of the run's row. */

typedef Coordinator {
  mtype state;
  /* dunlin_store.shard; upper 0 = no such row. lease: the generation of the store that granted it, 0 = none; with slot, birth and
   * epoch it is the random lease id. */
  byte lower[SHARDS];
  byte upper[SHARDS];
  byte epoch[SHARDS];
  byte born[SHARDS];
  bool done[SHARDS];
  byte lease[SHARDS];
  /* dunlin_store.run */
  byte planned_steps;
  byte step;
  byte planned_timeline;
  bool reconcile_due;
  /* dunlin_store.task: the one that is open */
  mtype task;
  byte task_epoch;
  byte task_lease;
  /* dunlin_store.target */
  byte known_timeline;
}
Coordinator C;
byte generation = 1;   /* of the store: raised when it forgets */
#ifdef FORGET
Coordinator P;         /* what a replica of the store has, and falls back to */
bool store_lags;
#endif

Target seen[AGENTS];   /* what a plan or a reconcile has read in the ledger and not yet reported */

#ifdef rpc_without_lease
#define LEASE_IS(s, b, e, g) (C.upper[s] != 0)
#define TASK_LEASE_IS(t, e, g) (C.task == t)
#else
#define LEASE_IS(s, b, e, g) (C.lease[s] == g && C.epoch[s] == e && C.born[s] == b)
#define TASK_LEASE_IS(t, e, g) (C.task == t && C.task_lease == g && C.task_epoch == e)
#endif

/* RunEditor::MayHoldLeases. */
#define MAY_HOLD_LEASES (C.state == RUNNING || C.state == FINALIZING || (C.state == FINISHED && C.reconcile_due))

inline EmptyStore(a_store) {
  for (j : 0 .. SHARDS - 1) {
    a_store.lower[j] = 0; a_store.upper[j] = 0; a_store.epoch[j] = 0; a_store.born[j] = 0; a_store.done[j] = false;
    a_store.lease[j] = 0
  }
  a_store.state = NOTHING; a_store.planned_steps = 0; a_store.step = 0; a_store.planned_timeline = 0;
  a_store.reconcile_due = false; a_store.task = NOTHING; a_store.task_epoch = 0; a_store.task_lease = 0;
  a_store.known_timeline = 0
}

inline DropShard(which) {
  C.lower[which] = 0; C.upper[which] = 0; C.epoch[which] = 0; C.born[which] = 0; C.done[which] = false; C.lease[which] = 0
}

inline DropOpenTask() {
  if
  :: C.task_lease == 0 -> C.task = NOTHING
  :: else
  fi
}

inline CountFacts() {
  undone = 0;
  leases = (C.task_lease != 0 -> 1 : 0);
  for (j : 0 .. SHARDS - 1) {
    if
    :: C.upper[j] != 0 && STEP_OF(C.lower[j]) == C.step && !C.done[j] -> undone++
    :: else
    fi;
    if
    :: C.lease[j] != 0 -> leases++
    :: else
    fi
  }
}

/* What is next: RunEditor::Settle asks DecideNext until nothing is left to do. */
inline Settle() {
  again = true;
  do
  :: again ->
     again = false;
     CountFacts();
     if
     :: C.state == PAUSING && leases == 0 -> C.state = PAUSED; C.task = NOTHING
     :: MAY_HOLD_LEASES && C.task == NOTHING ->
        if
        :: C.reconcile_due -> C.task = RECONCILE
        :: !C.reconcile_due && C.state == FINALIZING -> C.task = FINALIZE
        :: !C.reconcile_due && C.state == RUNNING && C.planned_steps <= C.step -> C.task = PLAN
        :: !C.reconcile_due && C.state == RUNNING && C.planned_steps > C.step && undone == 0 ->
           again = true;
           if
           :: C.step + 1 < STEPS -> C.step++
           :: else -> C.state = FINALIZING
           fi
        :: else
        fi
     :: else
     fi
  :: else -> break
  od;
  undone = 0
}

inline NeedsReconcile() {
  C.reconcile_due = true;
  DropOpenTask()
}

inline RevokeLeases() {
  for (i : 0 .. SHARDS - 1) { C.lease[i] = 0 }
  C.task_lease = 0
}

/* NoteTarget, MarkAfterFailover: another timeline than the one that was known. */
inline NoteTarget(seen_timeline) {
  C.known_timeline = seen_timeline;
  if
#ifdef failover_unnoticed
  :: C.state == FINISHED
#endif
  :: else ->
     RevokeLeases();
     C.task = NOTHING;
     C.reconcile_due = C.reconcile_due || C.planned_steps > 0;
     Settle()
  fi
}

/* CheckReporter: a report from a session on a later timeline makes the store note it, and comes too late itself; one from an
 * earlier timeline does not count; its lease ends by itself. */
#ifdef without_timeline
inline CheckReporter(from_timeline) { skip }
#define COUNTS(from_timeline) true
#else
inline CheckReporter(from_timeline) {
  if
  :: from_timeline > C.known_timeline -> NoteTarget(from_timeline)
  :: else
  fi
}
#define COUNTS(from_timeline) ((from_timeline) == C.known_timeline)
#endif

inline CompleteShard(of_shard, of_birth, by_epoch, by_generation, from_timeline, to_upper) {
  CheckReporter(from_timeline);
  if
  :: LEASE_IS(of_shard, of_birth, by_epoch, by_generation) && COUNTS(from_timeline) ->
     C.lease[of_shard] = 0;
     if
     :: C.upper[of_shard] != to_upper ->  /* there was a split that the store has not heard of */
        NeedsReconcile()
     :: else ->
        REQUIRE(I4_durable_before_done, C.known_timeline < timeline ||
                (DURABLE.upper[of_shard] == to_upper && DURABLE.cursor[of_shard] == to_upper &&
                 DURABLE.born[of_shard] == C.born[of_shard]));
        C.done[of_shard] = true
     fi;
     Settle()
  :: else
  fi
}

/* ok = accepted: the parent ends at the middle key, the child in its slot goes on to the upper that was the parent's. */
inline ReportSplit(of_shard, of_birth, by_epoch, by_generation, from_timeline, middle, in_slot, to_upper) {
  CheckReporter(from_timeline);
#ifdef rpc_without_lease
  ok = C.upper[of_shard] != 0;
#else
  ok = LEASE_IS(of_shard, of_birth, by_epoch, by_generation) && C.upper[of_shard] == to_upper && COUNTS(from_timeline);
#endif
  if
  :: ok ->
     C.upper[of_shard] = middle;
     C.lower[in_slot] = middle; C.upper[in_slot] = to_upper; C.epoch[in_slot] = 0; C.born[in_slot] = from_timeline;
     C.done[in_slot] = false; C.lease[in_slot] = 0
  :: else
  fi
}

/* ReleaseLeases of a shard. */
inline ReleaseShard(of_shard, of_birth, by_epoch, by_generation, from_timeline, with_problem, ledger_epoch) {
  CheckReporter(from_timeline);
  if
  :: LEASE_IS(of_shard, of_birth, by_epoch, by_generation) ->
     C.lease[of_shard] = 0;
     if
     :: COUNTS(from_timeline) && with_problem == STALE_EPOCH && C.epoch[of_shard] < ledger_epoch ->
        C.epoch[of_shard] = ledger_epoch
     :: COUNTS(from_timeline) && with_problem == MISMATCH -> NeedsReconcile()
     :: else
     fi;
     Settle()
  :: else
  fi
}

/* ReleaseLeases of a task. */
inline ReleaseTask(of_task, by_epoch, by_generation, from_timeline) {
  CheckReporter(from_timeline);
  if
  :: TASK_LEASE_IS(of_task, by_epoch, by_generation) ->
     C.task_lease = 0;
     if
     :: C.state == PAUSED || C.state == FINISHED -> C.task = NOTHING
     :: else
     fi;
     Settle()
  :: else
  fi
}

/* The shards of the step as the ledger has them. */
inline ApplyPlan(who, of_step, from_timeline) {
  for (i : 0 .. SHARDS - 1) {
    if
    :: C.upper[i] != 0 && STEP_OF(C.lower[i]) == of_step -> DropShard(i)
    :: else
    fi;
    if
    :: seen[who].upper[i] != 0 && STEP_OF(seen[who].lower[i]) == of_step ->
       C.lower[i] = seen[who].lower[i]; C.upper[i] = seen[who].upper[i]; C.epoch[i] = seen[who].epoch[i];
       C.born[i] = seen[who].born[i]; C.done[i] = (seen[who].cursor[i] == seen[who].upper[i])
    :: else
    fi
  }
  if
  :: C.planned_steps <= of_step -> C.planned_steps = of_step + 1
  :: else
  fi;
  C.planned_timeline = from_timeline
}

/* The ledger wins. Rows that it does not have go, bounds and done are its own, epochs the higher of both. */
inline ApplyReconcile(who, from_timeline) {
  C.reconcile_due = false;
  if
  :: seen[who].run_row && seen[who].finished -> C.state = FINISHED; C.planned_timeline = from_timeline
  :: else ->
     /* What is missing, a failover must have lost: this is what is proved here. The store fails the run when its row or a whole
      * step is missing without one (DecideReconcile). */
     n = 0;  /* steps of which the ledger has shards */
     for (i : 0 .. SHARDS - 1) {
       if
       :: C.upper[i] != 0 && (!seen[who].run_row || seen[who].upper[i] == 0) ->
          REQUIRE(lost_history_is_explained, C.planned_timeline < from_timeline)
       :: else
       fi;
       if
       :: !seen[who].run_row || seen[who].upper[i] == 0 -> DropShard(i)
       :: else ->
          ok = C.upper[i] != 0 && C.born[i] == seen[who].born[i];  /* the same shard */
          if
          :: ok && C.lower[i] == seen[who].lower[i] && C.upper[i] == seen[who].upper[i] &&
             seen[who].cursor[i] != seen[who].upper[i] && C.epoch[i] >= seen[who].epoch[i]  /* its lease stays */
          :: else -> C.lease[i] = 0
          fi;
          if
          :: !ok || C.epoch[i] < seen[who].epoch[i] -> C.epoch[i] = seen[who].epoch[i]
          :: else
          fi;
          C.lower[i] = seen[who].lower[i]; C.upper[i] = seen[who].upper[i]; C.born[i] = seen[who].born[i];
          C.done[i] = (seen[who].cursor[i] == seen[who].upper[i]);
          if
          :: n < STEP_OF(seen[who].lower[i]) + 1 -> n = STEP_OF(seen[who].lower[i]) + 1
          :: else
          fi
       fi
     }
     C.planned_steps = n; C.planned_timeline = from_timeline; C.step = 0; C.state = RUNNING
  fi
}

inline CompleteTask(who, of_task, by_epoch, by_generation, from_timeline, of_step, with_problem) {
  CheckReporter(from_timeline);
  if
  :: TASK_LEASE_IS(of_task, by_epoch, by_generation) && COUNTS(from_timeline) ->
     C.task = NOTHING; C.task_lease = 0;
     if
     :: of_task == FINALIZE && with_problem == NOTHING ->
        /* A finish row that was written counts, whatever was asked since. */
        REQUIRE(I4_durable_before_done, C.known_timeline < timeline || DURABLE.finished);
        C.state = FINISHED
     :: of_task == FINALIZE && with_problem == MISMATCH && MAY_HOLD_LEASES ->
#ifdef finalize_without_reconcile
        C.task = FINALIZE
#else
        NeedsReconcile()
#endif
     :: of_task == PLAN && MAY_HOLD_LEASES -> ApplyPlan(who, of_step, from_timeline)
     :: of_task == PLAN && !MAY_HOLD_LEASES -> C.reconcile_due = true  /* so that its shards are known */
     :: of_task == RECONCILE && MAY_HOLD_LEASES -> ApplyReconcile(who, from_timeline)
     :: else
     fi;
     Settle()
  :: else
  fi
}

/* AcquireLeases of an agent with a free slot: n. */
#if AGENTS == 1
#define FREE_AGENT (W[0].phase == IDLE)
#define THE_FREE_AGENT 0
#elif AGENTS == 2
#define FREE_AGENT (W[0].phase == IDLE || W[1].phase == IDLE)
#define THE_FREE_AGENT (W[0].phase == IDLE -> 0 : 1)
#else
#define FREE_AGENT (W[0].phase == IDLE || W[1].phase == IDLE || W[2].phase == IDLE)
#define THE_FREE_AGENT (W[0].phase == IDLE -> 0 : (W[1].phase == IDLE -> 1 : 2))
#endif

inline GrantShard(which) {
  n = THE_FREE_AGENT;
  C.epoch[which]++;
  REQUIRE(the_run_finishes, C.epoch[which] < MOST_GRANTS);
  C.lease[which] = generation;
  W[n].phase = GRANTED; W[n].shard = which; W[n].born = C.born[which]; W[n].epoch = C.epoch[which];
  W[n].generation = generation; W[n].on = C.known_timeline; W[n].upper = C.upper[which];
#ifdef claim_inserts
  W[n].cursor = C.lower[which];
#endif
  printf("store: grants shard %d to agent %d under epoch %d\n", which, n, C.epoch[which])
}

inline GrantTask() {
  n = THE_FREE_AGENT;
  C.task_epoch++;
  REQUIRE(the_run_finishes, C.task_epoch < MOST_GRANTS);
  C.task_lease = generation;
  W[n].phase = GRANTED; W[n].task = C.task; W[n].epoch = C.task_epoch; W[n].generation = generation;
  W[n].on = C.known_timeline;
  printf("store: grants the task %e to agent %d under task epoch %d\n", C.task, n, C.task_epoch);
  if
  :: C.task == PLAN -> W[n].shard = C.step
  :: C.task == FINALIZE ->
     W[n].shard = 0;
     for (j : 0 .. SHARDS - 1) { W[n].shard = W[n].shard + (C.upper[j] != 0 -> 1 : 0) }
     j = 0
  :: else
  fi
}

/* Does a worker still hold this lease? One that its agent has forgotten is renewed by nobody. */
#define HOLDS_SHARD(a, s) (W[a].phase != IDLE && W[a].task == NOTHING && W[a].shard == s && W[a].epoch == C.epoch[s] && \
                           W[a].generation == C.lease[s] && W[a].born == C.born[s])
#define HOLDS_TASK(a) (W[a].phase != IDLE && W[a].task == C.task && W[a].epoch == C.task_epoch && W[a].generation == C.task_lease)
#if AGENTS == 1
#define SHARD_IS_HELD(s) HOLDS_SHARD(0, s)
#define TASK_IS_HELD HOLDS_TASK(0)
#elif AGENTS == 2
#define SHARD_IS_HELD(s) (HOLDS_SHARD(0, s) || HOLDS_SHARD(1, s))
#define TASK_IS_HELD (HOLDS_TASK(0) || HOLDS_TASK(1))
#else
#define SHARD_IS_HELD(s) (HOLDS_SHARD(0, s) || HOLDS_SHARD(1, s) || HOLDS_SHARD(2, s))
#define TASK_IS_HELD (HOLDS_TASK(0) || HOLDS_TASK(1) || HOLDS_TASK(2))
#endif

inline Expire(which) {
  printf("store: the lease of shard %d ends\n", which);
  C.lease[which] = 0; Settle()
}

inline ExpireTask() {
  printf("store: the lease of the task %e ends\n", C.task);
  C.task_lease = 0; Settle()
}

/* SweepRun: a lease ends. That of somebody who is alive does so too, when no heartbeat comes through: a fault. */
#define OF_SHARD(s)                                                                                                         \
  ::d_step {                                                                                                                \
    FREE_AGENT && C.state == RUNNING && !C.reconcile_due && C.planned_steps > C.step && C.upper[s] != 0 &&                  \
        STEP_OF(C.lower[s]) == C.step && !C.done[s] && C.lease[s] == 0 -> GrantShard(s)                                     \
  }                                                                                                                         \
  ::d_step { C.lease[s] != 0 && !SHARD_IS_HELD(s) -> Expire(s) }                                                            \
  ::d_step { FAULT && C.lease[s] != 0 && SHARD_IS_HELD(s) -> PAY; Expire(s) }

proctype Store() {
end:
  do
  OF_SHARD(0)
#if SHARDS > 1
  OF_SHARD(1)
#endif
#if SHARDS > 2
  OF_SHARD(2)
#endif
#if SHARDS > 3
  OF_SHARD(3)
#endif
  :: d_step { FREE_AGENT && MAY_HOLD_LEASES && C.task != NOTHING && C.task_lease == 0 -> GrantTask() }
  :: d_step { C.task_lease != 0 && !TASK_IS_HELD -> ExpireTask() }
  :: d_step { FAULT && C.task_lease != 0 && TASK_IS_HELD -> PAY; ExpireTask() }
#ifdef FAILOVER
  :: d_step { C.known_timeline < timeline ->
       printf("store: an agent's heartbeat tells of timeline %d\n", timeline);
       NoteTarget(timeline)
     }
#endif
#ifdef PAUSE
  :: d_step { FAULT && (C.state == RUNNING || C.state == FINALIZING) ->
       PAY;
       printf("operator: pauses the run\n");
       C.state = PAUSING; DropOpenTask(); Settle()
     }
  :: d_step { C.state == PAUSED ->
       printf("operator: resumes the run\n");
       C.state = RUNNING; Settle()
     }
#endif
  od
}
