-- A rating of 0 is told from none. Rows of older releases with a rating above 0 count as rated.
-- DDL is not transactional here: this step may find its own work done.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'films' AND column_name = 'is_rated'),
    'DO 0',
    'ALTER TABLE films ADD COLUMN is_rated BOOLEAN NOT NULL DEFAULT FALSE'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
