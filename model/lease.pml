/* Time. A lease expires by the store's clock; its holder counts from before it sent the request, minus a margin. So whoever
 * believes that a lease of its own is valid holds it in the store as well: a run that is PAUSED has nobody left who begins a batch,
 * and no two agents believe that they hold one shard. What makes batches right does not depend on this (see ledger.pml).
 *
 * All clocks run at the same speed; where they stand matters to nobody but the mutant. */

#define LEASE 3
#define MARGIN 1
#define LAST 9      /* the clock stands still there */
#define AGENTS 2

hidden byte I7_pause_means_pause = true;
hidden byte one_believes_at_a_time = true;
#define REQUIRE(name, holds) if :: (holds) :: else -> name = false; assert(name) fi

byte now;

/* The store: who holds the lease (agent + 1, 0 = nobody) and until when. */
byte holder;
byte expires_at;
bool pausing;
bool paused;

/* An agent: until when it believes, and the one call that it has under way. */
mtype = { NO_CALL, ACQUIRE_SENT, RENEW_SENT, GRANTED, RENEWED, REFUSED };
byte valid_until[AGENTS];
mtype call[AGENTS];
byte sent_at[AGENTS];

#define BELIEVES(a) (now < valid_until[a])
#ifdef lease_by_agent_clock
#define COUNTED_FROM(a) (now + MARGIN)        /* from the answer on, without a margin */
#define RENEWABLE(a) (holder == a + 1 || (holder == 0 && !paused))   /* an expired lease is revived */
#else
#define COUNTED_FROM(a) sent_at[a]
#define RENEWABLE(a) (holder == a + 1 && expires_at > now)
#endif

#define ANSWERED(a)                                                                                 \
  if                                                                                                \
  :: COUNTED_FROM(a) + LEASE - MARGIN > valid_until[a] -> valid_until[a] = COUNTED_FROM(a) + LEASE - MARGIN \
  :: else                                                                                           \
  fi;                                                                                               \
  call[a] = NO_CALL; sent_at[a] = 0

proctype Agent(byte me) {
end:
  do
  :: d_step { call[me] == NO_CALL && !BELIEVES(me) -> valid_until[me] = 0; call[me] = ACQUIRE_SENT; sent_at[me] = now }
  :: d_step { call[me] == NO_CALL && BELIEVES(me) -> call[me] = RENEW_SENT; sent_at[me] = now }
  /* AcquireLeases, at the store */
  :: d_step { call[me] == ACQUIRE_SENT && holder == 0 && !pausing ->
       holder = me + 1; expires_at = now + LEASE; call[me] = GRANTED
     }
  /* Heartbeat, at the store. A lease that has expired is not revived. */
  :: d_step { call[me] == RENEW_SENT && RENEWABLE(me) ->
       holder = me + 1; expires_at = (expires_at > now + LEASE -> expires_at : now + LEASE); call[me] = RENEWED
     }
  :: d_step { call[me] == RENEW_SENT && !RENEWABLE(me) -> call[me] = REFUSED }
  /* The answers, at the agent; each comes late, or never. */
  :: d_step { call[me] == GRANTED || call[me] == RENEWED -> ANSWERED(me) }
  :: d_step { call[me] == REFUSED -> valid_until[me] = 0; call[me] = NO_CALL; sent_at[me] = 0 }
  :: d_step { call[me] != NO_CALL -> call[me] = NO_CALL; sent_at[me] = 0 }
  /* A stop is confirmed (ReleaseLeases). */
  :: d_step { BELIEVES(me) && pausing && holder == me + 1 ->
       valid_until[me] = 0; call[me] = NO_CALL; sent_at[me] = 0; holder = 0; expires_at = 0
     }
  /* The decision to begin a batch (ShardWorker::RunBatches). */
  :: d_step { BELIEVES(me) ->
       REQUIRE(I7_pause_means_pause, !paused);
       REQUIRE(one_believes_at_a_time, holder == me + 1)
     }
  od
}

proctype Store() {
end:
  do
  :: d_step { holder != 0 && expires_at <= now -> holder = 0; expires_at = 0 }              /* SweepRun */
  :: d_step { !pausing -> pausing = true }                                                  /* PauseRun */
  :: d_step { pausing && !paused && holder == 0 -> paused = true }                          /* Settle */
  od
}

proctype Clock() {
  do
  :: d_step { now < LAST -> now++ }
  :: now == LAST -> break
  od
}

init {
  atomic { call[0] = NO_CALL; call[1] = NO_CALL; run Agent(0); run Agent(1); run Store(); run Clock() }
}
