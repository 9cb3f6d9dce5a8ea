-- Secrets that replicas share. Ids of events are made with one, so that nobody can take them beforehand.
CREATE TABLE secrets (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    value VARCHAR(64) NOT NULL
);
