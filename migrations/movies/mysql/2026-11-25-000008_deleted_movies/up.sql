-- Movies that were deleted a short while ago, as they were, so that a deletion can be undone.
-- `version` is that of the deletion.
CREATE TABLE IF NOT EXISTS deleted_movies (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    title VARCHAR(255) NOT NULL,
    description MEDIUMTEXT,
    genre VARCHAR(100),
    rating FLOAT,
    release_year VARCHAR(4),
    created_at DATETIME(6),
    updated_at DATETIME(6),
    version BIGINT NOT NULL,
    deleted_at DATETIME(6) NOT NULL,
    INDEX deleted_movies_oldest (deleted_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
