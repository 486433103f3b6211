CREATE TABLE events (id bigserial PRIMARY KEY, payload jsonb NOT NULL, kind text, tags text[] NOT NULL);
INSERT INTO events (payload, tags) SELECT
  CASE g % 4 WHEN 0 THEN jsonb_build_object('type', 'click', 'n', g) WHEN 1 THEN jsonb_build_object('kind', 'view')
             WHEN 2 THEN '{"type": null, "old": {"a": [1, 2, 3]}}' ELSE '[":batch", "type"]' END,
  ARRAY['a' || g % 5, ':batch', 'c'] FROM generate_series(1, 40000) g;
CREATE TABLE expected AS SELECT id,
  CASE WHEN payload ? 'old' THEN (payload - 'old') || '{"old?": true}'::jsonb ELSE payload END AS payload,
  CASE WHEN payload ?| ARRAY['type', 'kind'] THEN coalesce(payload ->> 'type', payload ->> 'kind', '?') END AS kind, tags[1:2] AS tags FROM events;
