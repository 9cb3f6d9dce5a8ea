ALTER TABLE movies DROP COLUMN recommended_version, DROP COLUMN version;
