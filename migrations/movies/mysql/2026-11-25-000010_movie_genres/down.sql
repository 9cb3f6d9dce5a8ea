ALTER TABLE movies ADD INDEX movies_genre (genre), DROP INDEX movies_listed_genre, DROP COLUMN listed_genre;
DROP TABLE movie_genres;
