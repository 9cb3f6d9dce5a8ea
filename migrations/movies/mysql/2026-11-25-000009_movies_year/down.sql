ALTER TABLE movies DROP INDEX movies_year;
