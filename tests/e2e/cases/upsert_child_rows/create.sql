CREATE TABLE posts (id bigint PRIMARY KEY, tags text);
INSERT INTO posts SELECT g * 10 - 200000, 'tag' || g % 7 || ',tag' || g % 11 || ',' || CASE WHEN g % 2 = 0 THEN 'even' ELSE '' END FROM generate_series(1, 30000) g;
CREATE TABLE post_tags (post_id bigint REFERENCES posts, tag text, n int NOT NULL DEFAULT 1, PRIMARY KEY (post_id, tag));
INSERT INTO post_tags SELECT id, 'even' FROM posts WHERE id % 20 = 0;
CREATE TABLE expected AS SELECT p.id, t.tag, count(*)::int + (t.tag = 'even' AND p.id % 20 = 0)::int AS n
  FROM posts p CROSS JOIN LATERAL unnest(string_to_array(p.tags, ',')) t(tag) WHERE t.tag <> '' GROUP BY 1, 2;
INSERT INTO expected SELECT id, 'even', 1 FROM posts p WHERE id % 20 = 0 AND NOT EXISTS (SELECT FROM expected e WHERE e.id = p.id AND e.tag = 'even');
