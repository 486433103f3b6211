-- The application as it was: reservations know that they are cancelled, not since when.
CREATE TABLE reservations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  status text NOT NULL DEFAULT 'open',
  updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO reservations (status, updated_at)
  SELECT CASE WHEN g % 3 = 0 THEN 'cancelled' ELSE 'open' END, timestamptz '2026-01-01' + g * interval '1 hour'
  FROM generate_series(1, 20000) g;
