/* The barrier. A run starts after its deploy: sessions of the application run the new code from then on, which writes each row as
 * it should be. But transactions that were open at the start may run the old code until they end, and insert or overwrite rows
 * behind a batch. So the plan waits for each of them, and only for them. Two steps over one table: the second needs no barrier of
 * its own.
 *
 * A row is right when the new code wrote it last, or a batch of each step has changed it since the old code wrote it last. */

#define KEYS 3
#define SESSIONS 2
#define STEPS 2

hidden byte I1_exactly_once = true;
hidden byte every_row_is_right = true;
#define REQUIRE(name, holds) if :: (holds) :: else -> name = false; assert(name) fi
hidden byte i;

/* The table as committed: 0 = no row, 1 = as the old code writes it, + the number of batches that have changed it since;
 * BY_NEW_CODE = as the new code writes it. */
#define BY_NEW_CODE 10
byte row[KEYS + 1];

mtype = { NONE, OPEN };
mtype tx[SESSIONS];         /* the session's transaction */
bool old_code[SESSIONS];
byte wrote[SESSIONS];       /* the key that it inserts or overwrites, uncommitted; its row lock */
byte transactions = 3;      /* so many more may begin */
#define LOCKED(key) (wrote[0] == key || wrote[1] == key)

bool started;               /* the run; the deploy was before */
bool remembered[SESSIONS];  /* the barrier waits for the transaction that this session has open */
#define PASSED (!remembered[0] && !remembered[1])

inline End(commits) {
  if
  :: wrote[me] != 0 && commits -> row[wrote[me]] = (old_code[me] -> 1 : BY_NEW_CODE)
  :: else
  fi;
  tx[me] = NONE; old_code[me] = false; wrote[me] = 0; remembered[me] = false
}

proctype Session(byte me) {
  byte key;
end:
  do
  :: d_step { tx[me] == NONE && transactions > 0 -> transactions--; tx[me] = OPEN; old_code[me] = !started }
  :: atomic { tx[me] == OPEN && wrote[me] == 0 -> select(key : 1 .. KEYS); !LOCKED(key); wrote[me] = key; key = 0 }
  :: d_step { tx[me] == OPEN -> End(true) }
  :: d_step { tx[me] == OPEN -> End(false) }
  od
}

/* RunPlan: the last shard ends at the largest key that is there now. */
inline Plan() {
  upper = KEYS;
  do
  :: upper > 0 && row[upper] == 0 -> upper--
  :: else -> break
  od;
  cursor = 0
}

proctype Run() {
  byte step;
  byte upper;
  byte cursor;

  started = true;  /* StartRun, preflight */
#ifdef barrier_after_plan
  d_step { Plan() }
#endif
#ifndef barrier_not_waited
  d_step { for (i : 0 .. SESSIONS - 1) { remembered[i] = (tx[i] == OPEN) } i = 0 }
  PASSED;          /* WaitForBarrier */
#endif
  do
  :: step < STEPS ->
#ifdef barrier_after_plan
     cursor = 0;
#else
     d_step { Plan() }
#endif
     do
     :: d_step { cursor < upper && !LOCKED(cursor + 1) ->  /* a batch, which waits for row locks */
          cursor++;
          if
          :: row[cursor] > 0 && row[cursor] < BY_NEW_CODE ->
             row[cursor]++;
             REQUIRE(I1_exactly_once, row[cursor] <= 1 + STEPS)
          :: else
          fi
        }
     :: cursor == upper -> break
     od;
     step++
  :: else -> break
  od;
  skip;
  d_step {
    for (i : 1 .. KEYS) {
      REQUIRE(every_row_is_right, row[i] == 0 || row[i] == BY_NEW_CODE || row[i] == 1 + STEPS)
    }
    i = 0
  }
}

init {
  atomic {
    for (i : 0 .. SESSIONS - 1) { tx[i] = NONE }
    row[1] = 1;  /* some rows are there before */
    run Session(0); run Session(1); run Run()
  }
}
