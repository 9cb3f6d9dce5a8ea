-- One row for each genre of a movie, folded by the program: collations fold each in their own way. The
-- index serves the films of a genre, newest first. `listed_genre` is the text whose entries have rows, by
-- which the program finds the movies that programs without this table wrote. The foreign key is for
-- deletions by those programs.
CREATE TABLE IF NOT EXISTS movie_genres (
    movie_id VARCHAR(36) NOT NULL,
    genre VARCHAR(300) NOT NULL,
    created_at DATETIME(6),
    PRIMARY KEY (movie_id, genre),
    INDEX movie_genres_newest (genre, created_at, movie_id),
    FOREIGN KEY (movie_id) REFERENCES movies (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'movies' AND column_name = 'listed_genre'),
    'DO 0',
    'ALTER TABLE movies ADD COLUMN listed_genre VARCHAR(100) NULL, ADD INDEX movies_listed_genre (genre, listed_genre)'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'movies' AND index_name = 'movies_genre'),
    'ALTER TABLE movies DROP INDEX movies_genre',
    'DO 0'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
