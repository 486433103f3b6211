CREATE TABLE subscriptions (id bigint PRIMARY KEY, user_id bigint NOT NULL, topic text NOT NULL);
INSERT INTO subscriptions SELECT g, g % 9000, 'topic' || g % 2 FROM generate_series(1, 36000) g;
CREATE INDEX ON subscriptions (user_id, topic, id);
CREATE TABLE expected AS SELECT min(id) AS id FROM subscriptions GROUP BY user_id, topic;
