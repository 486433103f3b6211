SELECT id FROM animals WHERE n <> 1 LIMIT 1
