-- Ids compare by their bytes, texts hold every character, times hold microseconds. A description of
-- 65,535 bytes in a narrower character set may need more in this one, hence MEDIUMTEXT. The
-- statement may run again: it says how the columns are to be, not what to add to them.
ALTER TABLE movies
    MODIFY id VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    MODIFY title VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    MODIFY description MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    MODIFY genre VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    MODIFY release_year VARCHAR(4) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    MODIFY created_at DATETIME(6),
    MODIFY updated_at DATETIME(6),
    MODIFY is_recommended BOOLEAN NOT NULL DEFAULT FALSE,
    ENGINE = InnoDB, DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
