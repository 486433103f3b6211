CREATE TABLE stock (id bigint PRIMARY KEY, amount int NOT NULL, checked_at timestamptz);
INSERT INTO stock SELECT g, g % 50 FROM generate_series(1, 30000) g;
CREATE TABLE corrections (id bigint PRIMARY KEY, delta int NOT NULL);
INSERT INTO corrections SELECT g, CASE WHEN g % 50 = 0 THEN -1000 ELSE 5 END FROM generate_series(1, 30000, 3) g;
CREATE TABLE expected AS SELECT s.id, s.amount + coalesce(c.delta, 0) AS amount FROM stock s LEFT JOIN corrections c USING (id) WHERE coalesce(c.delta, 0) <> -1000;
