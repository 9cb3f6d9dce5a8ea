-- When a person was last told by mail of a sign-in on a new device.
CREATE TABLE IF NOT EXISTS new_devices (
    user_id INTEGER NOT NULL PRIMARY KEY,
    told_at DATETIME(6) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
