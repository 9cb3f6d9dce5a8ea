ALTER TABLE deleted_movies DROP COLUMN external_ids;
DROP TRIGGER film_external_ids_follow;
DROP TABLE film_external_ids;
