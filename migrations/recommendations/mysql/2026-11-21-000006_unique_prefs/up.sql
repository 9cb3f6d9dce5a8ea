-- A preference that was added twice is one preference: the oldest.
DELETE later FROM prefs AS later
    JOIN (SELECT user_id, keyword, MIN(id) AS id FROM prefs GROUP BY user_id, keyword) AS oldest
    ON oldest.user_id = later.user_id AND oldest.keyword = later.keyword AND oldest.id < later.id;

-- DDL is not transactional here: this step may find its own work done.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'prefs' AND index_name = 'prefs_user_keyword'),
    'DO 0',
    'ALTER TABLE prefs ADD UNIQUE KEY prefs_user_keyword (user_id, keyword)'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
