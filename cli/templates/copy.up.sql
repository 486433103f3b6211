-- Dual write for {{NAME}}: from now on every change of {{TABLE_SQL}} is made in
-- {{OTHER_SQL}} too, in the same transaction. Run it as a schema migration before the data migration starts.
-- TRUNCATE fires no row trigger: nobody may truncate {{TABLE_SQL}} from here on.
BEGIN;
-- CREATE TRIGGER waits for every writer of the table, and all others wait behind it: better to fail and try again.
SET LOCAL lock_timeout = '2s';

CREATE FUNCTION {{FUNCTION_SQL}}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND NEW.id IS DISTINCT FROM OLD.id) THEN
    DELETE FROM {{OTHER_SQL}} o WHERE o.id = OLD.id;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO {{OTHER_SQL}} (id, old_column) VALUES (NEW.id, NEW.old_column)
    ON CONFLICT (id) DO UPDATE SET old_column = excluded.old_column;
  END IF;
  RETURN NULL;
END
$$;

CREATE TRIGGER {{TRIGGER_SQL}} AFTER INSERT OR UPDATE OR DELETE ON {{TABLE_SQL}}
  FOR EACH ROW EXECUTE FUNCTION {{FUNCTION_SQL}}();
COMMIT;
