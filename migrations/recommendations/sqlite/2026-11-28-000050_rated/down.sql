ALTER TABLE films DROP COLUMN is_rated;
