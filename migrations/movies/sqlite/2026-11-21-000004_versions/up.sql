-- `version` grows with each write of a movie's facts; `recommended_version` is that of the event which
-- set `is_recommended`.
ALTER TABLE movies ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE movies ADD COLUMN recommended_version BIGINT NULL;
