-- The ids that films have elsewhere: one of each source a film, and each at one film. `deleted_movies` keeps those of deleted films, as JSON.
-- The trigger is for deletions by programs without this table.
CREATE TABLE film_external_ids (
    film_id VARCHAR(36) NOT NULL,
    source VARCHAR(16) NOT NULL,
    value VARCHAR(100) NOT NULL,
    PRIMARY KEY (film_id, source)
) WITHOUT ROWID;
CREATE UNIQUE INDEX film_external_ids_value ON film_external_ids (source, value);
CREATE TRIGGER film_external_ids_follow AFTER DELETE ON movies
BEGIN
    DELETE FROM film_external_ids WHERE film_id = OLD.id;
END;
ALTER TABLE deleted_movies ADD COLUMN external_ids TEXT;
