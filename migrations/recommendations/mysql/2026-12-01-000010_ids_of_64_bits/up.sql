-- A recommendation that is written again has a new id, and one that was there already uses one up: two thousand films for a million users, and
-- 32 bits were spent.
ALTER TABLE recommendations MODIFY id BIGINT NOT NULL AUTO_INCREMENT;
