CREATE TABLE visits (account_id int NOT NULL, at timestamptz NOT NULL, n int NOT NULL DEFAULT 0);
CREATE INDEX ON visits (account_id);
-- One account holds more rows than a batch.
INSERT INTO visits SELECT CASE WHEN g % 3 = 0 THEN 500 ELSE g % 1000 END, now() FROM generate_series(1, 60000) g;
