DROP TABLE film_changes;
