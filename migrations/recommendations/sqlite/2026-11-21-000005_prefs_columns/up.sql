-- A preference without a user or a keyword means nothing. Keywords carry no white space around them.
DELETE FROM prefs WHERE user_id IS NULL OR keyword IS NULL;
UPDATE prefs SET created_at = '1970-01-01 00:00:00' WHERE created_at IS NULL;

UPDATE prefs SET keyword = trim(
    keyword,
    char(9, 10, 11, 12, 13, 32, 133, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200,
         8201, 8202, 8232, 8233, 8239, 8287, 12288)
);
DELETE FROM prefs WHERE keyword = '';
