-- limits.wal_bytes_per_second, as the rows that make so much; 0 = no limit.
ALTER TABLE dunlin_store.run ADD COLUMN wal_rows_per_second double precision NOT NULL DEFAULT 0;
