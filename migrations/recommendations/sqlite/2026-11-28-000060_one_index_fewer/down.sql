CREATE UNIQUE INDEX recommendations_user_film ON recommendations (user_id, film_id);
DROP INDEX recommendations_film_user;
CREATE INDEX recommendations_film_user ON recommendations (film_id, user_id);
