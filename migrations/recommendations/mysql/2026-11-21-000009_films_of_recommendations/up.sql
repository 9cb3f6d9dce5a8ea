-- Older deployments knew a film only by the recommendations it led to.
INSERT IGNORE INTO films
        (film_id, title, description, genre, rating, release_year, keywords, deleted, recommended_count,
         created_at, updated_at)
    SELECT newest.film_id, COALESCE(newest.title, ''), COALESCE(newest.description, ''),
           COALESCE(newest.genre, ''), COALESCE(newest.rating, 0), COALESCE(newest.release_year, ''), '[]',
           FALSE, known.recommended_count, known.created_at, newest.created_at
    FROM (SELECT film_id, MAX(id) AS id, COUNT(*) AS recommended_count, MIN(created_at) AS created_at
          FROM recommendations GROUP BY film_id) AS known
    JOIN recommendations AS newest ON newest.id = known.id;
