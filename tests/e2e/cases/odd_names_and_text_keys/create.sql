CREATE SCHEMA "Odd Schema";
CREATE TABLE "Odd Schema"."Table ""x""" ("the Key" text COLLATE "en-x-icu" PRIMARY KEY, n int NOT NULL DEFAULT 0);
INSERT INTO "Odd Schema"."Table ""x""" SELECT CASE g % 5 WHEN 0 THEN 'a''b' WHEN 1 THEN 'Ä\' WHEN 2 THEN '{,}' WHEN 3 THEN ' NULL ' ELSE 'z"' END || g FROM generate_series(1, 60000) g;
