SELECT 1 WHERE (SELECT count(*) FROM archive) <> 15000 OR (SELECT count(*) FROM inbox) <> 30000 OR EXISTS (SELECT FROM inbox WHERE archived)
