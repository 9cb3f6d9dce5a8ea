-- When a person was last told by mail of a sign-in on a new device.
CREATE TABLE new_devices (
    user_id INTEGER NOT NULL PRIMARY KEY,
    told_at DATETIME NOT NULL
);
