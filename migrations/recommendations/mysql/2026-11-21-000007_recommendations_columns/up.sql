-- A recommendation without a user or a film means nothing. Ids compare by their bytes. A text may need
-- more bytes in utf8mb4 than it had.
DELETE FROM recommendations WHERE user_id IS NULL OR film_id IS NULL OR film_id = '';
UPDATE recommendations SET created_at = '1970-01-01 00:00:00' WHERE created_at IS NULL;

ALTER TABLE recommendations
    MODIFY user_id INTEGER NOT NULL,
    MODIFY film_id VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    MODIFY title VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    MODIFY description MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    MODIFY genre VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    MODIFY rating FLOAT,
    MODIFY release_year VARCHAR(4) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    MODIFY created_at DATETIME(6) NOT NULL,
    ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
