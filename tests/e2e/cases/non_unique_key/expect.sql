SELECT account_id FROM visits WHERE n <> 1 LIMIT 1
