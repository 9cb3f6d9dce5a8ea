-- What recommendations must still be told of: one row for each written version of a movie, committed
-- with it and deleted once delivered. Readers take the oldest rows that there are and remember none:
-- a row may become visible after one with a higher number. `parked_reason` says why recommendations
-- refused the version for good; such a row waits for the movie's next version.
CREATE TABLE IF NOT EXISTS movie_outbox (
    seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    movie_id VARCHAR(36) NOT NULL,
    version BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL,
    parked_reason VARCHAR(500) NULL,
    INDEX movie_outbox_movie (movie_id, version)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
