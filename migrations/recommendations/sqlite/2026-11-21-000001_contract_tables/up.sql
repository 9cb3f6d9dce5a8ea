-- The tables that older deployments have already.
CREATE TABLE IF NOT EXISTS prefs (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER,
    keyword VARCHAR(255),
    created_at DATETIME
);

CREATE TABLE IF NOT EXISTS recommendations (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER,
    film_id VARCHAR(36),
    title VARCHAR(255),
    description TEXT,
    genre VARCHAR(100),
    rating FLOAT,
    release_year VARCHAR(4),
    created_at DATETIME
);
