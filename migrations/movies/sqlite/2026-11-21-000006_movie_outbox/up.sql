-- What recommendations must still be told of: one row for each written version of a movie, committed
-- with it and deleted once delivered. Readers take the oldest rows that there are and remember none.
-- `parked_reason` says why recommendations refused the version for good; such a row waits for the
-- movie's next version.
CREATE TABLE movie_outbox (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    movie_id VARCHAR(36) NOT NULL,
    version BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL,
    parked_reason VARCHAR(500) NULL
);
CREATE INDEX movie_outbox_movie ON movie_outbox (movie_id, version);
