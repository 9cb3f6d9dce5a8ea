-- One preference for each keyword and user, however the keyword is spelled. The normal form is computed by the
-- program when it starts; `normalised` is the id up to which it has been.
ALTER TABLE prefs ADD COLUMN normal VARCHAR(700);
CREATE UNIQUE INDEX prefs_user_normal ON prefs (user_id, normal);
INSERT OR IGNORE INTO sequences (name, value) VALUES ('normalised', -2147483649);

-- The rules of matching changed: films that were matched are matched again, in the background.
UPDATE backlog SET position = '-2147483648' WHERE film_id IS NOT NULL;
INSERT OR IGNORE INTO backlog (film_id, position, refresh, created_at)
    SELECT film_id, '-2147483648', FALSE, '2026-11-25 00:00:00' FROM films
    WHERE deleted = FALSE AND stated IS NOT NULL;
