CREATE TABLE nothing (id int PRIMARY KEY, n int);
