-- Every write takes its number here, under the writer's lock: commits happen in the numbers' order.
-- The first number is the time, so that a database made anew counts on from where the lost one was.
CREATE TABLE sequences (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO sequences (name, value)
VALUES ('changes', CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)), ('trimmed', 0);

-- What replicas read to follow each other: one row for each changed preference or film.
CREATE TABLE changes (
    seq INTEGER NOT NULL PRIMARY KEY,
    kind VARCHAR(16) NOT NULL,
    user_id INTEGER,
    keyword VARCHAR(255),
    film_id VARCHAR(36),
    created_at DATETIME NOT NULL
);
