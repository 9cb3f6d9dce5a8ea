-- `version` grows with each write of a movie's facts; `recommended_version` is that of the event which
-- set `is_recommended`. DDL is not transactional here: a step may find its own work done.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'movies' AND column_name = 'version'),
    'DO 0',
    'ALTER TABLE movies ADD COLUMN version BIGINT NOT NULL DEFAULT 0'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'movies' AND column_name = 'recommended_version'),
    'DO 0',
    'ALTER TABLE movies ADD COLUMN recommended_version BIGINT NULL'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
