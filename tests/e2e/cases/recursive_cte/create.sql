CREATE TABLE comments (id bigint PRIMARY KEY, parent_id bigint REFERENCES comments, root_id bigint);
INSERT INTO comments SELECT g, CASE WHEN g <= 2000 THEN NULL ELSE g - 2000 END FROM generate_series(1, 20000) g;
CREATE INDEX ON comments (parent_id);
CREATE TABLE expected AS
  WITH RECURSIVE up AS (SELECT id, parent_id, id AS at FROM comments
                        UNION ALL SELECT u.id, c.parent_id, c.id FROM up u JOIN comments c ON c.id = u.parent_id)
  SELECT id, at AS root_id FROM up WHERE parent_id IS NULL;
