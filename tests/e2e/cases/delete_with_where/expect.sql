SELECT 'wrong' WHERE (SELECT count(*) FROM log_lines) <> 45000 OR EXISTS (SELECT 1 FROM log_lines WHERE level = 'debug')
