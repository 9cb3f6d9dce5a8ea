-- One index of films and users is enough, and it is the unique one. The other, whose places a film's users are spread over, took
-- a page of the disk for each recommendation that was written.
-- DDL is not transactional here: this step may find its own work done.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'recommendations'
              AND index_name = 'recommendations_user_film'),
    'ALTER TABLE recommendations
        DROP KEY recommendations_film_user,
        ADD UNIQUE KEY recommendations_film_user (film_id, user_id),
        DROP KEY recommendations_user_film',
    'DO 0'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
