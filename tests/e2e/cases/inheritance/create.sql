CREATE TABLE animals (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0);
CREATE TABLE dogs (breed text, PRIMARY KEY (id)) INHERITS (animals);
INSERT INTO animals SELECT g FROM generate_series(1, 15000) g;
-- Inheritance does not keep ids apart: half of them are in both.
INSERT INTO dogs SELECT g FROM generate_series(7500, 22500) g;
