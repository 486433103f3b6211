CREATE TABLE customers (id uuid PRIMARY KEY, name text, tags jsonb NOT NULL DEFAULT '{}');
CREATE TABLE addresses (customer uuid NOT NULL, kind text NOT NULL);
CREATE TABLE marks (what text PRIMARY KEY, at timestamptz);
INSERT INTO customers SELECT md5(g::text)::uuid, 'c' || g, CASE WHEN g % 2 = 0 THEN '{"old": 1}'::jsonb ELSE '{}' END FROM generate_series(1, 30000) g;
