ALTER TABLE movies DROP COLUMN recommended_version;
ALTER TABLE movies DROP COLUMN version;
