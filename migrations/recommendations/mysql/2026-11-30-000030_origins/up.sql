-- For whose sake a row waits: the request that wrote it, and its place in the trace of that. Rows of older releases have neither.
-- DDL is not transactional here: this step may find its own work done. Both columns come with one statement.
SET @step = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'outbox' AND column_name = 'traceparent'),
    'DO 0',
    'ALTER TABLE outbox
        ADD COLUMN request_id VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
        ADD COLUMN traceparent VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
);
PREPARE step FROM @step;
EXECUTE step;
DEALLOCATE PREPARE step;
