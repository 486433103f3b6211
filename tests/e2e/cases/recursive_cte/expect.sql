SELECT c.id FROM comments c JOIN expected e USING (id) WHERE c.root_id IS DISTINCT FROM e.root_id LIMIT 1
