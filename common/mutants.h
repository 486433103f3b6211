// Every mutant: one rule of the protocol broken on purpose, to see the tests fail. Off, unless a
// test build (DUNLIN_FAULTS=ON) runs with DUNLIN_MUTANT=<name> in its environment; a release build
// holds none of it. tests/mutants.txt says which tests must catch each; script/mutants runs them.
// Where several locks guard one door a mutant takes off those that would hide it, and says so.
#pragma once

namespace dunlin {

inline constexpr const char* kMutants[] = {
    // The ledger protocol (agent/ledger/, agent/work/, agent/task/)
    "fence_does_not_raise",    // nor does the checkpoint, which looks at the epoch again
    "fence_after_data",        // rows are touched before the shard's row is locked
    "savepoint_around_fence",  // rolled back, which releases the lock; checkpoint looks at nothing
    "cursor_outside_transaction",  // committed behind the rows, in a transaction of its own
    "commit_tag_not_read",
    "relaxed_done",         // the commit that sets done is not synchronous (I4)
    "in_doubt_by_read",     // settled by a SELECT; the fence does not look at seq
    "in_doubt_same_epoch",  // settled by a claim with the epoch held already; nor does it here
    "claim_inserts", "done_from_read",
    "digest_not_compared",  // neither by the agent nor by the claim (I9)
    "split_only_in_store",
    "plan_twice",            // the planner does not look for an earlier plan, nor does the ledger
    "barrier_not_waited",    // for transactions that were open at the start
    "finalize_unfenced",     // task epochs are not compared
    "coverage_as_text",      // I2's check compares bounds as text
    "budget_not_spent",      // each statement of a batch gets all of the time (I12)
    "no_lock_timeout",       // (I12)
    "row_value_in_message",  // (I8)
    "list_grows_per_batch",  // (I10)
    // Rows that are set aside
    "set_aside_unkept",        // the cursor moves past a row that is kept nowhere
    "set_aside_untold",        // a claim does not report what a former owner set aside
    "retry_unfenced",          // task epochs are not compared
    "retry_not_noted",         // that it is done, in the transaction that did it
    "retry_whole_range",       // all rows up to the key
    "finish_with_quarantine",  // finalize does not look at rows that are set aside
    // Undo
    "undo_unfenced",               // the epochs of the run that is undone do not rise
    "images_of_unchanged_rows",    // are kept too
    "restore_what_was_changed",    // since, by the application
    "image_gone_without_its_row",  // though the row could not be written
    // Another store adopts the target
    "adopt_keeps_shards",  // under their ids
    "task_of_any_store",   // a task does not compare whose the target is
    // Leases and the store (agent/control/, coordinator/)
    "lease_by_agent_clock",        // counted from the answer on, and revived by a late heartbeat
    "rpc_without_lease",           // neither lease id nor epoch of a report is compared
    "checkpoint_by_arrival",       // the store takes a checkpoint with a lower seq (I5)
    "request_id_not_stored",       // (I6)
    "pause_stops_nothing",         // (I7)
    "paused_unconfirmed",          // before the holders have confirmed (I7)
    "finalize_without_reconcile",  // a finalize that disagrees is only tried again
    "failover_unnoticed",          // by runs that are FINISHED
    "watch_skips_a_revision",      // (I11)
    "percent_as_estimated",        // trap 22
};

}  // namespace dunlin
