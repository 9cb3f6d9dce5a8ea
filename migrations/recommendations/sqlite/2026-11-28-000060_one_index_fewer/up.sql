-- One index of films and users is enough, and it is the unique one. The other, whose places a film's users are spread over, took
-- a page of the disk for each recommendation that was written.
DROP INDEX recommendations_film_user;
CREATE UNIQUE INDEX recommendations_film_user ON recommendations (film_id, user_id);
DROP INDEX recommendations_user_film;
