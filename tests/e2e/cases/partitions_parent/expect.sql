SELECT region, id FROM orders WHERE n <> 1 LIMIT 1
