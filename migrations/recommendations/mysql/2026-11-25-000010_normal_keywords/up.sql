-- One preference for each keyword and user, however the keyword is spelled. The normal form is computed by the
-- program when it starts; `normalised` is the id up to which it has been.
-- DDL is not transactional here: this step may find its own work done.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'prefs' AND column_name = 'normal'),
    'DO 0',
    'ALTER TABLE prefs
        ADD COLUMN normal VARCHAR(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
        ADD UNIQUE KEY prefs_user_normal (user_id, normal)'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;

INSERT IGNORE INTO sequences (name, value) VALUES ('normalised', -2147483649);

-- The rules of matching changed: films that were matched are matched again, in the background.
UPDATE backlog SET position = '-2147483648' WHERE film_id IS NOT NULL;
INSERT IGNORE INTO backlog (film_id, position, refresh, created_at)
    SELECT film_id, '-2147483648', FALSE, '2026-11-25 00:00:00' FROM films
    WHERE deleted = FALSE AND stated IS NOT NULL;
