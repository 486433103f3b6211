(SELECT id FROM subscriptions EXCEPT SELECT id FROM expected) UNION ALL (SELECT id FROM expected EXCEPT SELECT id FROM subscriptions) LIMIT 1
