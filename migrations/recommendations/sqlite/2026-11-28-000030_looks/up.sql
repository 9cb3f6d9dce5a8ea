-- When each user last looked at the recommendations: what came later is new to the user.
CREATE TABLE looks (
    user_id INTEGER NOT NULL PRIMARY KEY,
    looked_at DATETIME NOT NULL
);
