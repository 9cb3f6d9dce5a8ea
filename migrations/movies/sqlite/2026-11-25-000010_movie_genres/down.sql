CREATE INDEX movies_genre ON movies (genre);
DROP INDEX movies_listed_genre;
ALTER TABLE movies DROP COLUMN listed_genre;
DROP TRIGGER movie_genres_follow;
DROP TABLE movie_genres;
