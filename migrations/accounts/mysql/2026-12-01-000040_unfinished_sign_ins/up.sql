-- Sign-ins at identity providers that go on with a code of the second factor.
CREATE TABLE IF NOT EXISTS unfinished_sign_ins (
    continuation VARCHAR(64) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    return_to VARCHAR(2048) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    KEY unfinished_sign_ins_expires_at (expires_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
