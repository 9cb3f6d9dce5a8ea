-- A recommendation without a user or a film means nothing.
DELETE FROM recommendations WHERE user_id IS NULL OR film_id IS NULL OR film_id = '';
UPDATE recommendations SET created_at = '1970-01-01 00:00:00' WHERE created_at IS NULL;
