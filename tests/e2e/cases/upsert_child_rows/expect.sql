(SELECT post_id, tag, n FROM post_tags EXCEPT SELECT * FROM expected) UNION ALL (SELECT * FROM expected EXCEPT SELECT post_id, tag, n FROM post_tags) LIMIT 1
