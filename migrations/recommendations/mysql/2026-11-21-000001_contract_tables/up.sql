-- The tables that older deployments have already.
CREATE TABLE IF NOT EXISTS prefs (
    id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id INTEGER,
    keyword VARCHAR(255),
    created_at DATETIME
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS recommendations (
    id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id INTEGER,
    film_id VARCHAR(36),
    title VARCHAR(255),
    description TEXT,
    genre VARCHAR(100),
    rating FLOAT,
    release_year VARCHAR(4),
    created_at DATETIME
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
