-- Contract: what only served the transition goes, a week later and not a day before. Until then the old release can come
-- back, and the backfill can be undone.
SELECT dunlin.require('20261123120000_backfill_cancelled_on');
SET lock_timeout = '2s';
DROP TRIGGER reservations_cancelled_on ON reservations;
DROP FUNCTION reservations_cancelled_on();
ALTER TABLE reservations DROP COLUMN updated_at;
