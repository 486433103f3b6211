SELECT 'row' FROM people WHERE name <> 'Name ' || id OR email <> 'mail' || id || '@example.org' OR phone <> '+35840' || id OR a <> 1 OR b <> 1 OR id % 100 = 7
UNION ALL SELECT 'counts' WHERE (SELECT count(*) FROM people) <> 29700 OR (SELECT count(*) FROM log) <> 15000 OR (SELECT count(*) FROM gone) <> 300 LIMIT 1
