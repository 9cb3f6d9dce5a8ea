ALTER TABLE deleted_movies DROP COLUMN external_ids;
DROP TABLE film_external_ids;
