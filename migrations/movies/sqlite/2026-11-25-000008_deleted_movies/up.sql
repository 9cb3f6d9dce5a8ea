-- Movies that were deleted a short while ago, as they were, so that a deletion can be undone.
-- `version` is that of the deletion.
CREATE TABLE deleted_movies (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    title VARCHAR(255) NOT NULL,
    description TEXT,
    genre VARCHAR(100),
    rating FLOAT,
    release_year VARCHAR(4),
    created_at DATETIME,
    updated_at DATETIME,
    version BIGINT NOT NULL,
    deleted_at DATETIME NOT NULL
);
CREATE INDEX deleted_movies_oldest ON deleted_movies (deleted_at);
