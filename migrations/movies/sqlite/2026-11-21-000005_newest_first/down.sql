DROP INDEX movies_genre;
DROP INDEX movies_newest;
