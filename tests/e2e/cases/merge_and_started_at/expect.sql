(SELECT id, amount FROM stock EXCEPT SELECT * FROM expected) UNION ALL (SELECT * FROM expected EXCEPT SELECT id, amount FROM stock)
UNION ALL SELECT 0, 0 WHERE (SELECT count(DISTINCT checked_at) FROM stock) <> 1 OR EXISTS (SELECT FROM stock WHERE checked_at IS NULL) LIMIT 1
