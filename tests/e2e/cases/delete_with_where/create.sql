CREATE TABLE log_lines (at timestamptz NOT NULL, host numeric NOT NULL, level text, PRIMARY KEY (at, host));
INSERT INTO log_lines SELECT '2026-01-01'::timestamptz + g * interval '1 second', g % 7 + 0.5, CASE WHEN g % 10 = 0 THEN 'debug' ELSE 'info' END FROM generate_series(1, 50000) g;
