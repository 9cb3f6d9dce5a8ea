-- Matching that was begun and not finished: of a film from a user on, or of a preference from a film on.
CREATE TABLE backlog (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    film_id VARCHAR(36),
    user_id INTEGER,
    keyword VARCHAR(255),
    position VARCHAR(36) NOT NULL,
    refresh BOOLEAN NOT NULL,
    created_at DATETIME NOT NULL
);
CREATE UNIQUE INDEX backlog_film ON backlog (film_id);
CREATE UNIQUE INDEX backlog_preference ON backlog (user_id, keyword);

-- Status events that the broker does not have yet.
CREATE TABLE outbox (
    seq INTEGER NOT NULL PRIMARY KEY,
    topic VARCHAR(255) NOT NULL,
    event_key VARCHAR(36) NOT NULL,
    payload TEXT NOT NULL,
    created_at DATETIME NOT NULL
);

-- Which replica does what only one may do.
CREATE TABLE leases (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    holder VARCHAR(36) NOT NULL,
    beat BIGINT NOT NULL
);

INSERT INTO leases (name, holder, beat) VALUES ('background', '', 0);
