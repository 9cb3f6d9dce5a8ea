-- Pages are read newest first, also those of one genre, from the index alone; only the movies of the
-- page itself are looked up in the table.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'movies' AND index_name = 'movies_newest'),
    'DO 0',
    'ALTER TABLE movies ADD INDEX movies_newest (created_at, id, genre)'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'movies' AND index_name = 'movies_genre'),
    'DO 0',
    'ALTER TABLE movies ADD INDEX movies_genre (genre)'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
