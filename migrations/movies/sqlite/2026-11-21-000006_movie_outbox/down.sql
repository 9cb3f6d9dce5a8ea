DROP TABLE movie_outbox;
