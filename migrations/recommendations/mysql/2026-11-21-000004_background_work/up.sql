-- Matching that was begun and not finished: of a film from a user on, or of a preference from a film on.
CREATE TABLE IF NOT EXISTS backlog (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    film_id VARCHAR(36),
    user_id INTEGER,
    keyword VARCHAR(255),
    position VARCHAR(36) NOT NULL,
    refresh BOOLEAN NOT NULL,
    created_at DATETIME(6) NOT NULL,
    UNIQUE KEY backlog_film (film_id),
    UNIQUE KEY backlog_preference (user_id, keyword)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Status events that the broker does not have yet.
CREATE TABLE IF NOT EXISTS outbox (
    seq BIGINT NOT NULL PRIMARY KEY,
    topic VARCHAR(255) NOT NULL,
    event_key VARCHAR(36) NOT NULL,
    payload TEXT NOT NULL,
    created_at DATETIME(6) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Which replica does what only one may do.
CREATE TABLE IF NOT EXISTS leases (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    holder VARCHAR(36) NOT NULL,
    beat BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT IGNORE INTO leases (name, holder, beat) VALUES ('background', '', 0);
