-- A preference without a user or a keyword means nothing. Keywords compare by their bytes and
-- carry no white space around them.
DELETE FROM prefs WHERE user_id IS NULL OR keyword IS NULL;
UPDATE prefs SET created_at = '1970-01-01 00:00:00' WHERE created_at IS NULL;

ALTER TABLE prefs
    MODIFY user_id INTEGER NOT NULL,
    MODIFY keyword VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    MODIFY created_at DATETIME(6) NOT NULL,
    ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

UPDATE prefs SET keyword = REGEXP_REPLACE(
    keyword,
    '^[\\s\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}]+|[\\s\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}]+$',
    ''
);
DELETE FROM prefs WHERE keyword = '';
