-- Ends the dual write of {{NAME}}: {{OTHER_SQL}} no longer follows {{TABLE_SQL}}.
BEGIN;
SET LOCAL lock_timeout = '2s';
DROP TRIGGER {{TRIGGER_SQL}} ON {{TABLE_SQL}};
DROP FUNCTION {{FUNCTION_SQL}}();
COMMIT;
