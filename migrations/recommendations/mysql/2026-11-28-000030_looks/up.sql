-- When each user last looked at the recommendations: what came later is new to the user.
CREATE TABLE IF NOT EXISTS looks (
    user_id INTEGER NOT NULL PRIMARY KEY,
    looked_at DATETIME(6) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
