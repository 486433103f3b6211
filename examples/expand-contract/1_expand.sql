-- Expand: the new column beside the old one. Adding a column without a default that is computed per row takes a short lock.
SET lock_timeout = '2s';
ALTER TABLE reservations ADD COLUMN cancelled_on date;
