-- Sign-ins at identity providers that go on with a code of the second factor.
CREATE TABLE unfinished_sign_ins (
    continuation VARCHAR(64) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    return_to VARCHAR(2048) NOT NULL,
    expires_at DATETIME NOT NULL
);
CREATE INDEX unfinished_sign_ins_expires_at ON unfinished_sign_ins (expires_at);
