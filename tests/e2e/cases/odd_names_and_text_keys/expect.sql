SELECT "the Key" FROM "Odd Schema"."Table ""x""" WHERE n <> 1 LIMIT 1
