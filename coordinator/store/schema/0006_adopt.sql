-- The last time that this store took a target over from its ledger: asked by an operator, carried out by an agent.
CREATE TABLE dunlin_store.adoption (
  target text PRIMARY KEY,
  operator_name text NOT NULL,
  reason text NOT NULL,
  peer text NOT NULL,
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  former_store_id text NOT NULL DEFAULT '',
  former_store_name text NOT NULL DEFAULT '',
  pending uuid[] NOT NULL DEFAULT '{}',  -- runs of the ledger that are to be read yet
  runs_learned bigint NOT NULL DEFAULT 0,
  error text NOT NULL DEFAULT '',
  done_at timestamptz
);
