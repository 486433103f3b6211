(SELECT id, payload, kind, tags FROM events EXCEPT SELECT * FROM expected) UNION ALL (SELECT * FROM expected EXCEPT SELECT id, payload, kind, tags FROM events) LIMIT 1
