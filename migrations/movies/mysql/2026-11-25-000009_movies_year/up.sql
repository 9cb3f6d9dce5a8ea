-- The films of a year, newest first, with the titles among which one is looked for.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'movies' AND index_name = 'movies_year'),
    'DO 0',
    'ALTER TABLE movies ADD INDEX movies_year (release_year, created_at, id, title)'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
