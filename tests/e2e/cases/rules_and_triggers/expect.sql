SELECT 1 WHERE (SELECT count(*) FROM items WHERE n = 1 AND twice = 2) <> 20000 OR (SELECT count(DISTINCT id) FROM by_trigger) <> 20000 OR (SELECT count(*) FROM by_trigger) <> 20000
