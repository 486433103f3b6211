CREATE TABLE inbox (id uuid PRIMARY KEY, body text NOT NULL, archived boolean NOT NULL);
INSERT INTO inbox SELECT md5(g::text)::uuid, 'body ' || g, g % 3 = 0 FROM generate_series(1, 45000) g;
CREATE TABLE archive (id uuid PRIMARY KEY, body text NOT NULL);
