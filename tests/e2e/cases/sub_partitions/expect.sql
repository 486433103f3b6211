SELECT id FROM metrics WHERE n <> 2 LIMIT 1
