-- Ranges of the users of films, each taken from the backlog by a replica, which recommends the film to them.
CREATE TABLE IF NOT EXISTS shards (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    film_id VARCHAR(36) NOT NULL,
    first_user INTEGER NOT NULL,
    last_user INTEGER NOT NULL,
    owner VARCHAR(36) NOT NULL,
    created_at DATETIME(6) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
