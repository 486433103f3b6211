CREATE TABLE accounts (id bigint PRIMARY KEY, country text NOT NULL);
INSERT INTO accounts SELECT g, (ARRAY['FI', 'SE', 'EE'])[g % 3 + 1] FROM generate_series(1, 3000) g;
CREATE TABLE orders (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, country text);
INSERT INTO orders SELECT g, g % 3000 + 1 FROM generate_series(1, 60000) g;
CREATE TABLE expected AS SELECT o.id, o.account_id, a.country FROM orders o JOIN accounts a ON a.id = o.account_id;
