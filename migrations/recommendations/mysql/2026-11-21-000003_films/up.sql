-- Films as their catalog last sent them. A deleted film stays as a tombstone, so that an older
-- update that comes late does not revive it. `stated` is the status last written to the outbox.
CREATE TABLE IF NOT EXISTS films (
    film_id VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    title VARCHAR(255) NOT NULL,
    description MEDIUMTEXT NOT NULL,
    genre VARCHAR(100) NOT NULL,
    rating FLOAT NOT NULL,
    release_year VARCHAR(4) NOT NULL,
    keywords MEDIUMTEXT NOT NULL,
    version BIGINT,
    deleted BOOLEAN NOT NULL DEFAULT FALSE,
    recommended_count BIGINT NOT NULL DEFAULT 0,
    stated BOOLEAN,
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
