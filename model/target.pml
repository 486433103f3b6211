/* The target: schema dunlin, the rows, and the transactions on them. */

typedef Target {
  /* dunlin.shard; upper 0 = no such row. Done is cursor = upper. */
  byte lower[SHARDS];
  byte upper[SHARDS];
  byte cursor[SHARDS];
  byte epoch[SHARDS];
  byte born[SHARDS];  /* with the slot the random id: the timeline on which the row was inserted */
  /* dunlin.run */
  bool run_row;
  bool finished;
  byte task_epoch;
  /* The application's rows: changed by a committed batch. */
  bool changed[ALL_KEYS + 1];
}
Target T;               /* what is committed and visible */
byte timeline = 1;
#ifdef CRASH
Target D;               /* what is on disk, and on the replica that a synchronous commit waits for */
bool unflushed;         /* D is older than T */
#define DURABLE D
#else
#define DURABLE T
#endif
#ifdef FAILOVER
Target R;               /* a replica that lags behind, and may be promoted */
bool replica_lags;      /* it replays nothing more */
#endif

/* Who holds the row lock of a ledger row: agent + 1, AGENTS + 1 + orphan, 0 = nobody. */
byte lock[SHARDS];
#if SHARDS == 1
#define NO_LOCK (lock[0] == 0)
#elif SHARDS == 2
#define NO_LOCK (lock[0] == 0 && lock[1] == 0)
#elif SHARDS == 3
#define NO_LOCK (lock[0] == 0 && lock[1] == 0 && lock[2] == 0)
#else
#define NO_LOCK (lock[0] == 0 && lock[1] == 0 && lock[2] == 0 && lock[3] == 0)
#endif
#ifdef fence_after_data
byte row_lock[ALL_KEYS + 1];
#endif

/* Transactions whose client is gone. What was sent completely may still be carried out, at any time or never. */
typedef Orphan {
  mtype kind;
  byte shard;  /* of a plan: the step */
  byte born;
  byte epoch;
  byte cursor;
  byte upper;
}
Orphan orphan[ORPHANS];
#define ROOM_FOR_ORPHAN (orphan[ORPHANS - 1].kind == NOTHING)

inline CopyTarget(into, out_of) {
  for (j : 0 .. SHARDS - 1) {
    into.lower[j] = out_of.lower[j]; into.upper[j] = out_of.upper[j]; into.cursor[j] = out_of.cursor[j];
    into.epoch[j] = out_of.epoch[j]; into.born[j] = out_of.born[j]
  }
  for (j : 1 .. ALL_KEYS) { into.changed[j] = out_of.changed[j] }
  into.run_row = out_of.run_row; into.finished = out_of.finished; into.task_epoch = out_of.task_epoch
}

/* What holds after every commit: the shards of a planned step cover each of its keys exactly once (I2), and a row is changed
 * exactly when the cursor of its shard has passed it (I1). */
inline CheckLedger() {
  for (j : 1 .. ALL_KEYS) {
    n = 0; again = false; ok = false;
    for (i : 0 .. SHARDS - 1) {
      if
      :: T.upper[i] != 0 && STEP_OF(T.lower[i]) == STEP_OF(j - 1) ->
         ok = true;
         if
         :: T.lower[i] < j && j <= T.upper[i] -> n++; again = again || (j <= T.cursor[i])
         :: else
         fi
      :: else
      fi
    }
    REQUIRE(I2_coverage, !ok || n == 1);
    REQUIRE(I1_exactly_once, T.changed[j] == again)
  }
  ok = true
}

/* COMMIT with synchronous_commit = on: what was committed before is durable too. */
inline SyncCommit() {
#ifdef CRASH
  CopyTarget(D, T); unflushed = false;
#endif
  CheckLedger()
}

inline AsyncCommit() {
#ifdef CRASH
  unflushed = true;
#endif
  CheckLedger()
}

/* Ids are random: a slot is taken again only when neither side knows of its former row. */
inline InsertShards(of_step) {
  for (i : 0 .. PLANNED - 1) {
    j = 0;
    do
    :: T.upper[j] != 0 || (C.upper[j] != 0 && C.born[j] != timeline) -> j++
    :: else -> break
    od;
    T.lower[j] = of_step * KEYS + i * KEYS / PLANNED;
    T.upper[j] = of_step * KEYS + (i + 1) * KEYS / PLANNED;
    T.cursor[j] = T.lower[j];
    T.epoch[j] = 0;
    T.born[j] = timeline
  }
}

/* ok = the ledger has shards of this step. */
inline LookForShards(of_step) {
  ok = false;
  for (i : 0 .. SHARDS - 1) {
    if
    :: T.upper[i] != 0 && STEP_OF(T.lower[i]) == of_step -> ok = true
    :: else
    fi
  }
}

/* dunlin.fence: the row is there and undone; epoch, seq and upper are the caller's. */
#ifdef without_seq_and_upper
#define FENCE_PASSES(s, b, e, c, u) (T.upper[s] != 0 && T.born[s] == b && T.epoch[s] == e && T.cursor[s] < T.upper[s])
#else
#define FENCE_PASSES(s, b, e, c, u) (T.upper[s] == u && T.born[s] == b && T.epoch[s] == e && T.cursor[s] == c && c < u)
#endif

/* The WHERE of a claim. */
#ifdef in_doubt_same_epoch
#define CLAIM_MATCHES(s, b, e, u) (T.upper[s] == u && T.born[s] == b && !T.finished && T.epoch[s] <= e)
#else
#define CLAIM_MATCHES(s, b, e, u) (T.upper[s] == u && T.born[s] == b && !T.finished && T.epoch[s] < e)
#endif

inline CommitClaim(of_shard, by_epoch) {
  T.epoch[of_shard] = by_epoch;
  SyncCommit()
}

/* The last batch of a shard is committed synchronously, whatever the migration asks for. */
#if defined(RELAXED) && defined(relaxed_done)
#define SYNCHRONOUS(s, c) false
#elif defined(RELAXED)
#define SYNCHRONOUS(s, c) ((c) == T.upper[s])
#else
#define SYNCHRONOUS(s, c) true
#endif

/* A batch's transaction: the row of the key behind `behind` changes, and dunlin.advance moves the cursor. */
inline CommitBatch(of_shard, by_epoch, behind) {
  REQUIRE(I3_fencing, T.epoch[of_shard] == by_epoch);
  REQUIRE(I1_exactly_once, !T.changed[behind + 1]);
  REQUIRE(I5_monotonic, T.cursor[of_shard] <= behind + 1);
  T.changed[behind + 1] = true;
  T.cursor[of_shard] = behind + 1;
  if
  :: SYNCHRONOUS(of_shard, behind + 1) -> SyncCommit()
  :: else -> AsyncCommit()
  fi
}

#ifdef CRASH
/* COMMIT's wait for the replica was cut short: the transaction is visible, and may be lost. */
inline CommitUndurable(of_shard, behind) {
  T.changed[behind + 1] = true;
  T.cursor[of_shard] = behind + 1;
  AsyncCommit()
}
#endif

/* The split's transaction, behind the next key: k = the child's slot, or SHARDS when the fence raised. */
inline CommitSplit(of_shard, of_birth, by_epoch, behind, to_upper) {
  k = 0;
  do
  :: k < SHARDS && (T.upper[k] != 0 || C.upper[k] != 0) -> k++
  :: else -> break
  od;
  if
  :: k < SHARDS && FENCE_PASSES(of_shard, of_birth, by_epoch, behind, to_upper) ->
     REQUIRE(I3_fencing, T.epoch[of_shard] == by_epoch);
#ifndef split_only_in_store
     T.upper[of_shard] = behind + 1;
     T.lower[k] = behind + 1; T.upper[k] = to_upper; T.cursor[k] = behind + 1; T.epoch[k] = 0; T.born[k] = timeline;
     SyncCommit()
#endif
  :: else -> k = SHARDS
  fi
}
#define ROOM_TO_SPLIT(c, u) ((c) + 1 < (u) && T.upper[SHARDS - 1] == 0 && C.upper[SHARDS - 1] == 0)

/* begin_plan, and all shards of the step: ok = committed. */
inline CommitPlan(of_step, by_epoch) {
  LookForShards(of_step);
#ifdef plan_twice
  ok = T.run_row;
#else
  ok = T.run_row && T.task_epoch < by_epoch && !ok;
#endif
  if
  :: ok -> T.task_epoch = by_epoch; InsertShards(of_step); SyncCommit()
  :: else
  fi
}

inline ForgetOrphan(which) {
  orphan[which].kind = NOTHING; orphan[which].shard = 0; orphan[which].born = 0; orphan[which].epoch = 0;
  orphan[which].cursor = 0; orphan[which].upper = 0
}

/* A transaction that was sent loses its client: n = where it is kept. */
inline Orphaned(what_kind, of_shard, of_birth, by_epoch, behind, to_upper) {
  n = 0;
  do
  :: orphan[n].kind != NOTHING -> n++
  :: else -> break
  od;
  orphan[n].kind = what_kind; orphan[n].shard = of_shard; orphan[n].born = of_birth; orphan[n].epoch = by_epoch;
  orphan[n].cursor = behind; orphan[n].upper = to_upper
}
