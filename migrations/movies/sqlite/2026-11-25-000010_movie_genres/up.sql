-- One row for each genre of a movie, folded by the program: SQL folds the case of A to Z only. The index
-- serves the films of a genre, newest first. `listed_genre` is the text whose entries have rows, by
-- which the program finds the movies that programs without this table wrote. The trigger is for
-- deletions by those programs.
CREATE TABLE movie_genres (
    movie_id VARCHAR(36) NOT NULL,
    genre VARCHAR(300) NOT NULL,
    created_at DATETIME,
    PRIMARY KEY (movie_id, genre)
) WITHOUT ROWID;
CREATE INDEX movie_genres_newest ON movie_genres (genre, created_at, movie_id);
CREATE TRIGGER movie_genres_follow AFTER DELETE ON movies
BEGIN
    DELETE FROM movie_genres WHERE movie_id = OLD.id;
END;
ALTER TABLE movies ADD COLUMN listed_genre VARCHAR(100);
CREATE INDEX movies_listed_genre ON movies (genre, listed_genre);
DROP INDEX movies_genre;
