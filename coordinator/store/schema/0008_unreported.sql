-- Whether rows may have changed of which no report tells: what a lease did that ended without one, and what the ledger had done
-- before this store took its target over.
ALTER TABLE dunlin_store.shard ADD COLUMN unreported boolean NOT NULL DEFAULT false;
ALTER TABLE dunlin_store.run ADD COLUMN changed_before boolean NOT NULL DEFAULT false;
