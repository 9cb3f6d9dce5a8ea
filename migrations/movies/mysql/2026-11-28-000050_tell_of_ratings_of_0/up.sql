-- Recommendations took a rating of 0 for none. It learns of these movies again, under a new version,
-- because it has the old one already.
UPDATE movies SET version = version + 1 WHERE rating = 0;
INSERT INTO movie_outbox (movie_id, version, deleted)
SELECT id, version, FALSE FROM movies WHERE rating = 0
ORDER BY created_at, id;
