SELECT 'k_numeric' FROM k_numeric WHERE n <> 1
UNION ALL
SELECT 'k_citext' FROM k_citext WHERE n <> 1
UNION ALL
SELECT 'k_domain' FROM k_domain WHERE n <> 1
UNION ALL
SELECT 'k_enum' FROM k_enum WHERE n <> 1
UNION ALL
SELECT 'k_char' FROM k_char WHERE n <> 1
UNION ALL
SELECT 'k_inet' FROM k_inet WHERE n <> 1
UNION ALL
SELECT 'k_caseless' FROM k_caseless WHERE n <> 1
LIMIT 1
