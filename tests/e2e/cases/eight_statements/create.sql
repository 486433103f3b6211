CREATE TABLE people (id int PRIMARY KEY, name text, email text, phone text, a int DEFAULT 0, b int DEFAULT 0);
INSERT INTO people SELECT g, '  Name ' || g || ' ', 'MAIL' || g || '@EXAMPLE.ORG', '+358 40 ' || g FROM generate_series(1, 30000) g;
CREATE TABLE log (person int, what text);
CREATE TABLE gone (id int, name text);
