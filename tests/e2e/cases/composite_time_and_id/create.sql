CREATE TABLE readings (at timestamptz NOT NULL, sensor bigint NOT NULL, celsius numeric, fahrenheit numeric, PRIMARY KEY (at, sensor));
INSERT INTO readings SELECT '2026-03-29 00:30:00.000001+00'::timestamptz + (g / 7) * interval '0.5 seconds', g % 7 - 3, g % 400 / 10.0
FROM generate_series(1, 50000) g;
INSERT INTO readings VALUES ('-infinity', 1, 1), ('infinity', -1, 2), ('4713-01-01 BC', 9, 3);
CREATE TABLE expected AS SELECT at, sensor, celsius, celsius * 9 / 5 + 32 AS fahrenheit FROM readings;
