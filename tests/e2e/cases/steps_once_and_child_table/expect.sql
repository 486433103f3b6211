SELECT 'wrong' WHERE (SELECT count(*) FROM addresses) <> 15000 OR (SELECT count(*) FROM customers WHERE tags ? 'new') <> 15000
  OR (SELECT count(*) FROM marks) <> 1
