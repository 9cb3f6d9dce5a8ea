-- Every write takes its number here, under the row's lock: commits happen in the numbers' order.
-- The first number is the time, so that a database made anew counts on from where the lost one was.
CREATE TABLE IF NOT EXISTS sequences (
    name VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

INSERT IGNORE INTO sequences (name, value)
VALUES ('changes', CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)), ('trimmed', 0);

-- What replicas read to follow each other: one row for each changed preference or film.
CREATE TABLE IF NOT EXISTS changes (
    seq BIGINT NOT NULL PRIMARY KEY,
    kind VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    user_id INTEGER,
    keyword VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    film_id VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    created_at DATETIME(6) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
