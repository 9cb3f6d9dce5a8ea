-- Who changed which film: one row for each write, committed with it. The states are JSON, and absent where there is no film. Readers go
-- from the newest number to older ones and remember none, because a row may become visible after one with a higher number.
CREATE TABLE IF NOT EXISTS film_changes (
    number BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    film_id VARCHAR(36) NOT NULL,
    title VARCHAR(255) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    user_id INTEGER NOT NULL,
    changed_at DATETIME(6) NOT NULL,
    version BIGINT NOT NULL,
    request_id VARCHAR(128) NULL,
    state_before MEDIUMTEXT NULL,
    state_after MEDIUMTEXT NULL,
    undoes BIGINT NULL,
    INDEX film_changes_film (film_id, number),
    INDEX film_changes_user (user_id, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
