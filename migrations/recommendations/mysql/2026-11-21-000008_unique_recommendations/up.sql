-- A film is recommended to a user once: the newest row has the newest facts.
DELETE earlier FROM recommendations AS earlier
    JOIN (SELECT user_id, film_id, MAX(id) AS id FROM recommendations GROUP BY user_id, film_id) AS newest
    ON newest.user_id = earlier.user_id AND newest.film_id = earlier.film_id AND newest.id > earlier.id;

-- DDL is not transactional here: this step may find its own work done.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'recommendations'
              AND index_name = 'recommendations_user_film'),
    'DO 0',
    'ALTER TABLE recommendations
        ADD UNIQUE KEY recommendations_user_film (user_id, film_id),
        ADD KEY recommendations_film_user (film_id, user_id),
        ADD KEY recommendations_user_newest (user_id, created_at, id)'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
