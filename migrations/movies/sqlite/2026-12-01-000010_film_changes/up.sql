-- Who changed which film: one row for each write, committed with it. The states are JSON, and absent where there is no film. Numbers
-- are never used again.
CREATE TABLE film_changes (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    film_id VARCHAR(36) NOT NULL,
    title VARCHAR(255) NOT NULL,
    kind VARCHAR(16) NOT NULL,
    user_id INTEGER NOT NULL,
    changed_at DATETIME NOT NULL,
    version BIGINT NOT NULL,
    request_id VARCHAR(128) NULL,
    state_before TEXT NULL,
    state_after TEXT NULL,
    undoes BIGINT NULL
);
CREATE INDEX film_changes_film ON film_changes (film_id, number);
CREATE INDEX film_changes_user ON film_changes (user_id, number);
