CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, twice int GENERATED ALWAYS AS (n * 2) STORED);
INSERT INTO items SELECT g FROM generate_series(1, 20000) g;
CREATE TABLE by_rule (id bigint, n int);
CREATE TABLE by_trigger (id bigint, n int);
CREATE RULE note AS ON UPDATE TO items DO ALSO INSERT INTO by_rule VALUES (old.id, new.n);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO by_trigger VALUES (NEW.id, NEW.n); RETURN NEW; END $$;
CREATE TRIGGER note AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note();
