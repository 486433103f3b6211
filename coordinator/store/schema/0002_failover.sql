-- The server on which a run was planned last, beside its timeline; '' = planned before this was kept.
ALTER TABLE dunlin_store.run ADD COLUMN planned_system text NOT NULL DEFAULT '';
