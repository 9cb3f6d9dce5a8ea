DELETE FROM movie_outbox;
