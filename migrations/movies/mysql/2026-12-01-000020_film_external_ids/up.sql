-- The ids that films have elsewhere: one of each source a film, and each at one film. `deleted_movies` keeps those of deleted films, as JSON.
-- The foreign key is for deletions by programs without this table.
CREATE TABLE IF NOT EXISTS film_external_ids (
    film_id VARCHAR(36) NOT NULL,
    source VARCHAR(16) NOT NULL,
    value VARCHAR(100) NOT NULL,
    PRIMARY KEY (film_id, source),
    UNIQUE KEY film_external_ids_value (source, value),
    FOREIGN KEY (film_id) REFERENCES movies (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- DDL is not transactional here: this step may find its own work done.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'deleted_movies' AND column_name = 'external_ids'),
    'DO 0',
    'ALTER TABLE deleted_movies ADD COLUMN external_ids TEXT NULL'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
