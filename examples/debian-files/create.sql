-- One row per path and package that ships it. `basename` and `n` are what the migration fills in; n counts how often it did.
CREATE TABLE IF NOT EXISTS files (
  path text NOT NULL,
  package text NOT NULL,
  basename text,
  n int NOT NULL DEFAULT 0,
  PRIMARY KEY (path, package)
);
