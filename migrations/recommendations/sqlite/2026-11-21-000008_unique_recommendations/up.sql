-- A film is recommended to a user once: the newest row has the newest facts.
CREATE TABLE recommendations_made_anew (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    film_id VARCHAR(36) NOT NULL,
    title VARCHAR(255),
    description TEXT,
    genre VARCHAR(100),
    rating FLOAT,
    release_year VARCHAR(4),
    created_at DATETIME NOT NULL
);
INSERT INTO recommendations_made_anew
        (id, user_id, film_id, title, description, genre, rating, release_year, created_at)
    SELECT id, user_id, film_id, title, description, genre, rating, release_year, created_at
    FROM recommendations
    WHERE id IN (SELECT MAX(id) FROM recommendations GROUP BY user_id, film_id);
DROP TABLE recommendations;
ALTER TABLE recommendations_made_anew RENAME TO recommendations;
CREATE UNIQUE INDEX recommendations_user_film ON recommendations (user_id, film_id);
CREATE INDEX recommendations_film_user ON recommendations (film_id, user_id);
CREATE INDEX recommendations_user_newest ON recommendations (user_id, created_at, id);
