/* What happens to all of them. */

/* Every transaction ends with its server; sessions find out at their next statement. */
inline EndTransactions() {
  for (i : 0 .. SHARDS - 1) { lock[i] = 0 }
  for (i : 0 .. ORPHANS - 1) { ForgetOrphan(i) }
  for (i : 0 .. AGENTS - 1) {
    if
    :: W[i].phase == IN_BATCH -> W[i].phase = RELEASING; W[i].cursor = 0
    :: else
    fi
  }
  i = 0
}

#ifdef FAILOVER
inline EmptyReplica() {
  for (j : 0 .. SHARDS - 1) { R.lower[j] = 0; R.upper[j] = 0; R.cursor[j] = 0; R.epoch[j] = 0; R.born[j] = 0 }
  for (j : 1 .. ALL_KEYS) { R.changed[j] = false }
  R.run_row = false; R.finished = false; R.task_epoch = 0; replica_lags = false
}
#endif

#ifdef FORGET
inline CopyStore(into, out_of) {
  for (j : 0 .. SHARDS - 1) {
    into.lower[j] = out_of.lower[j]; into.upper[j] = out_of.upper[j]; into.epoch[j] = out_of.epoch[j];
    into.born[j] = out_of.born[j]; into.done[j] = out_of.done[j]; into.lease[j] = out_of.lease[j]
  }
  into.state = out_of.state; into.planned_steps = out_of.planned_steps; into.step = out_of.step;
  into.planned_timeline = out_of.planned_timeline; into.reconcile_due = out_of.reconcile_due; into.task = out_of.task;
  into.task_epoch = out_of.task_epoch; into.task_lease = out_of.task_lease; into.known_timeline = out_of.known_timeline
}
#endif

/* A backend that nobody listens to any more. One of a batch has done its work, holds the row lock, and COMMIT is on its way; the
 * others have yet to begin, and are fenced then. One that hangs ends by the server's own timeouts. */
#define O orphan[me]
proctype Backend(byte me) {
end:
  do
  :: d_step { O.kind != NOTHING ->
       printf("backend %d: its %e is rolled back\n", me, O.kind);
       if
       :: O.kind == BATCH -> lock[O.shard] = 0
       :: else
       fi;
       ForgetOrphan(me)
     }
  :: d_step { O.kind == CLAIM && lock[O.shard] == 0 && CLAIM_MATCHES(O.shard, O.born, O.epoch, O.upper) ->
       printf("backend %d: carries the claim of shard %d under epoch %d out\n", me, O.shard, O.epoch);
       CommitClaim(O.shard, O.epoch);
       ForgetOrphan(me)
     }
  :: d_step { O.kind == BATCH ->
       printf("backend %d: commits the batch of shard %d up to %d\n", me, O.shard, O.cursor + 1);
       lock[O.shard] = 0;
       CommitBatch(O.shard, O.epoch, O.cursor);
       ForgetOrphan(me)
     }
#ifdef SPLITS
  :: d_step { O.kind == SPLIT && lock[O.shard] == 0 && ROOM_TO_SPLIT(O.cursor, O.upper) ->
       printf("backend %d: comes to the split of shard %d behind %d\n", me, O.shard, O.cursor + 1);
       CommitSplit(O.shard, O.born, O.epoch, O.cursor, O.upper);
       ForgetOrphan(me)
     }
#endif
  :: d_step { O.kind == PLAN ->
       printf("backend %d: comes to the plan of step %d\n", me, O.shard);
       CommitPlan(O.shard, O.epoch);
       ForgetOrphan(me)
     }
  od
}
#undef O

proctype Environment() {
end:
  do
  :: false
#ifdef CRASH
  :: d_step { unflushed ->
       printf("target: what was committed is on disk\n");
       CopyTarget(D, T); unflushed = false
     }
  :: d_step { FAULT ->
       PAY;
       printf("target: crashes, and starts from what is on disk\n");
       CopyTarget(T, D); unflushed = false; EndTransactions()
     }
#endif
#ifdef FAILOVER
  :: d_step { FAULT && !replica_lags && timeline < TIMELINES ->
       printf("target: its replica gets no further than here\n");
       CopyTarget(R, T); replica_lags = true
     }
  :: d_step { FAULT && replica_lags ->
       PAY;
       timeline++;
       printf("target: its replica is promoted to timeline %d\n", timeline);
       CopyTarget(T, R); EmptyReplica(); EndTransactions()
     }
#endif
#ifdef LATE
  :: d_step { late.kind != NOTHING ->
       printf("network: a delayed %e for shard %d arrives\n", late.kind, late.shard);
       if
       :: late.kind == COMPLETE ->
          CompleteShard(late.shard, late.born, late.epoch, late.generation, late.on, late.upper)
       :: late.kind == RELEASE ->
          ReleaseShard(late.shard, late.born, late.epoch, late.generation, late.on, late.problem, late.cursor)
#ifdef SPLITS
       :: late.kind == SPLIT ->
          ReportSplit(late.shard, late.born, late.epoch, late.generation, late.on, late.cursor + 1, late.child, late.upper)
#endif
       :: late.kind == FINALIZE ->
          CompleteTask(0, FINALIZE, late.epoch, late.generation, late.on, late.shard, late.problem)
       :: else
       fi;
       ForgetLate()
     }
  :: d_step { late.kind != NOTHING -> printf("network: a delayed call is lost\n"); ForgetLate() }
#endif
#ifdef FORGET
  :: d_step { FAULT && !store_lags && generation == 1 ->
       printf("store: its replica gets no further than here\n");
       CopyStore(P, C); store_lags = true
     }
  :: d_step { FAULT && store_lags ->
       PAY;
       printf("store: its replica takes over\n");
       CopyStore(C, P); EmptyStore(P); store_lags = false; generation++
     }
#endif
#ifdef ADOPT
  :: d_step { FAULT && generation == 1 && T.run_row ->
       PAY;
       printf("operator: the store is lost; another adopts the target\n");
       EmptyStore(C); generation++;
       C.state = RUNNING; C.reconcile_due = true; C.task_epoch = T.task_epoch; C.known_timeline = timeline;
       Settle()
     }
#endif
  od
}
