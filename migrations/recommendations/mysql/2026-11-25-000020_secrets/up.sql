-- Secrets that replicas share. Ids of events are made with one, so that nobody can take them beforehand.
CREATE TABLE IF NOT EXISTS secrets (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    value VARCHAR(64) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
