DROP INDEX movies_year;
