-- A movie without an id cannot be named, so it means nothing. The other gaps get what they stand for.
DELETE FROM movies WHERE id IS NULL OR TRIM(id) = '';
UPDATE movies SET title = 'Untitled' WHERE title IS NULL OR TRIM(title) = '';
UPDATE movies SET is_recommended = FALSE WHERE is_recommended IS NULL;
UPDATE movies SET created_at = COALESCE(updated_at, '1970-01-01 00:00:00') WHERE created_at IS NULL;
UPDATE movies SET updated_at = created_at WHERE updated_at IS NULL;
