-- Dual write: from now on every writer fills both. Usually the application's new release does it; a trigger does when there
-- are other writers.
CREATE FUNCTION reservations_cancelled_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status = 'cancelled' AND NEW.cancelled_on IS NULL THEN
    NEW.cancelled_on := NEW.updated_at::date;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER reservations_cancelled_on BEFORE INSERT OR UPDATE OF status ON reservations
  FOR EACH ROW EXECUTE FUNCTION reservations_cancelled_on();
