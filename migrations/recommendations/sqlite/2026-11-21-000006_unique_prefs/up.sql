-- A preference that was added twice is one preference: the oldest.
CREATE TABLE prefs_made_anew (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    keyword VARCHAR(255) NOT NULL,
    created_at DATETIME NOT NULL
);
INSERT INTO prefs_made_anew (id, user_id, keyword, created_at)
    SELECT id, user_id, keyword, created_at FROM prefs
    WHERE id IN (SELECT MIN(id) FROM prefs GROUP BY user_id, keyword);
DROP TABLE prefs;
ALTER TABLE prefs_made_anew RENAME TO prefs;
CREATE UNIQUE INDEX prefs_user_keyword ON prefs (user_id, keyword);
