-- Recommendations learns of the movies that were there before.
INSERT INTO movie_outbox (movie_id, version, deleted)
SELECT id, version, FALSE FROM movies
WHERE NOT EXISTS (SELECT 1 FROM movie_outbox WHERE movie_outbox.movie_id = movies.id)
ORDER BY created_at, id;
