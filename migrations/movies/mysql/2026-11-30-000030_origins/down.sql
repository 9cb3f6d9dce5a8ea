ALTER TABLE movie_outbox DROP COLUMN traceparent;
ALTER TABLE movie_outbox DROP COLUMN request_id;
