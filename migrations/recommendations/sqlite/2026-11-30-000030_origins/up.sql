-- For whose sake a row waits: the request that wrote it, and its place in the trace of that. Rows of older releases have neither.
ALTER TABLE outbox ADD COLUMN request_id VARCHAR(128) NULL;
ALTER TABLE outbox ADD COLUMN traceparent VARCHAR(64) NULL;
