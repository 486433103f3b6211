-- Guard: now the new release reads the new column alone, and the database holds everybody to it. NOT VALID takes a short
-- lock, VALIDATE reads the table without keeping writers out. Fails until the backfill is finished.
SELECT dunlin.require('20261123120000_backfill_cancelled_on', soak => interval '0');
SET lock_timeout = '2s';
ALTER TABLE reservations ADD CONSTRAINT cancelled_has_date
  CHECK (status <> 'cancelled' OR cancelled_on IS NOT NULL) NOT VALID;
ALTER TABLE reservations VALIDATE CONSTRAINT cancelled_has_date;
