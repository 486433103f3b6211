WITH x AS (SELECT a[1:n], E'\'', $q$ :batch $q$ FROM t WHERE b OR c) /* a /* b */ */
UPDATE :table r SET a = :v, "B" = x::batch, d = a[:v], e = U&"\0041" -- c
FROM x WHERE NOT d AND s ?| ARRAY['a'] AND at < :started_at AND :batch ( r );
