-- A rating of 0 is told from none. Rows of older releases with a rating above 0 count as rated.
ALTER TABLE films ADD COLUMN is_rated BOOLEAN NOT NULL DEFAULT FALSE;
