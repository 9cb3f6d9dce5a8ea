ALTER TABLE outbox DROP COLUMN traceparent;
ALTER TABLE outbox DROP COLUMN request_id;
