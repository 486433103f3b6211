(SELECT id, account_id, country FROM orders EXCEPT SELECT * FROM expected) UNION ALL (SELECT * FROM expected EXCEPT SELECT id, account_id, country FROM orders) LIMIT 1
