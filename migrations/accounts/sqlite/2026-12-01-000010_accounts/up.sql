-- Every write takes its number here, under the writer's lock: commits happen in the numbers' order.
CREATE TABLE sequences (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO sequences (name, value) VALUES ('changes', 0), ('users', 0), ('trimmed', 0);

-- People. The owner has the id 1; ids are never given twice.
CREATE TABLE users (
    id INTEGER NOT NULL PRIMARY KEY,
    username VARCHAR(80) NOT NULL,
    username_key VARCHAR(512) NOT NULL,
    email VARCHAR(254) NOT NULL,
    email_key VARCHAR(512) NOT NULL,
    is_email_confirmed BOOLEAN NOT NULL,
    pending_email VARCHAR(254) NOT NULL,
    password_hash VARCHAR(255) NULL,
    role INTEGER NOT NULL,
    is_disabled BOOLEAN NOT NULL,
    about VARCHAR(1000) NOT NULL,
    favourite_genres TEXT NOT NULL,
    shows_profile BOOLEAN NOT NULL,
    shows_about BOOLEAN NOT NULL,
    shows_activity BOOLEAN NOT NULL,
    picture_version BIGINT NOT NULL,
    second_factor VARCHAR(64) NULL,
    new_second_factor VARCHAR(64) NULL,
    second_factor_step BIGINT NOT NULL,
    created_at DATETIME NOT NULL,
    last_used_at DATETIME NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_username_key ON users (username_key);
CREATE UNIQUE INDEX users_email_key ON users (email_key);

-- What others see of a person's face.
CREATE TABLE pictures (
    user_id INTEGER NOT NULL PRIMARY KEY,
    image BLOB NOT NULL,
    version BIGINT NOT NULL
);

-- One row a device, of pages and of programs. The secret is here as SHA-256 alone; that of a program changes with each refresh, and
-- `family` is what all of its refresh tokens have in common.
CREATE TABLE sessions (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    secret VARCHAR(64) NOT NULL,
    family VARCHAR(64) NULL,
    is_of_pages BOOLEAN NOT NULL,
    is_remembered BOOLEAN NOT NULL,
    created_at DATETIME NOT NULL,
    last_used_at DATETIME NOT NULL,
    expires_at DATETIME NOT NULL,
    address VARCHAR(45) NOT NULL,
    agent VARCHAR(255) NOT NULL
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE UNIQUE INDEX sessions_secret ON sessions (secret);
CREATE UNIQUE INDEX sessions_family ON sessions (family);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- Tokens that people make for their programs.
CREATE TABLE personal_tokens (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    name VARCHAR(80) NOT NULL,
    secret VARCHAR(64) NOT NULL,
    prefix VARCHAR(16) NOT NULL,
    scopes INTEGER NOT NULL,
    created_at DATETIME NOT NULL,
    last_used_at DATETIME NULL,
    expires_at DATETIME NULL
);
CREATE INDEX personal_tokens_user_id ON personal_tokens (user_id);
CREATE UNIQUE INDEX personal_tokens_secret ON personal_tokens (secret);

-- Codes that were sent by mail: to prove an address, or to set a new password.
CREATE TABLE codes (
    code VARCHAR(64) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    kind VARCHAR(16) NOT NULL,
    email VARCHAR(254) NOT NULL,
    created_at DATETIME NOT NULL,
    expires_at DATETIME NOT NULL
);
CREATE INDEX codes_user_id ON codes (user_id);
CREATE INDEX codes_expires_at ON codes (expires_at);

-- Codes for one use each, for when the authenticator is lost.
CREATE TABLE recovery_codes (
    user_id INTEGER NOT NULL,
    code VARCHAR(64) NOT NULL,
    PRIMARY KEY (user_id, code)
);

-- Who may register although registration is not open.
CREATE TABLE invitations (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    code VARCHAR(64) NOT NULL,
    role INTEGER NOT NULL,
    email VARCHAR(254) NOT NULL,
    invited_by INTEGER NOT NULL,
    created_at DATETIME NOT NULL,
    expires_at DATETIME NOT NULL,
    used_by INTEGER NULL
);
CREATE UNIQUE INDEX invitations_code ON invitations (code);
CREATE INDEX invitations_expires_at ON invitations (expires_at);

-- Who somebody is at an identity provider.
CREATE TABLE identities (
    provider VARCHAR(64) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    user_id INTEGER NOT NULL,
    created_at DATETIME NOT NULL,
    PRIMARY KEY (provider, subject)
);
CREATE INDEX identities_user_id ON identities (user_id);

-- Sign-ins at identity providers that have begun.
CREATE TABLE provider_sign_ins (
    state VARCHAR(64) NOT NULL PRIMARY KEY,
    provider VARCHAR(64) NOT NULL,
    nonce VARCHAR(128) NOT NULL,
    verifier VARCHAR(128) NOT NULL,
    return_to VARCHAR(2048) NOT NULL,
    link_to INTEGER NULL,
    invitation VARCHAR(128) NOT NULL,
    redirect_uri VARCHAR(2048) NOT NULL,
    expires_at DATETIME NOT NULL
);
CREATE INDEX provider_sign_ins_expires_at ON provider_sign_ins (expires_at);

-- Mails that were not sent yet.
CREATE TABLE mails (
    seq INTEGER NOT NULL PRIMARY KEY,
    recipient VARCHAR(254) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    body TEXT NOT NULL,
    created_at DATETIME NOT NULL,
    attempts INTEGER NOT NULL,
    next_try DATETIME NOT NULL,
    request_id VARCHAR(128) NULL,
    traceparent VARCHAR(64) NULL
);
CREATE INDEX mails_next_try ON mails (next_try);

-- What access tokens are signed with.
CREATE TABLE signing_keys (
    kid VARCHAR(64) NOT NULL PRIMARY KEY,
    secret VARCHAR(255) NOT NULL,
    created_at DATETIME NOT NULL
);

-- Events that the broker does not have yet.
CREATE TABLE outbox (
    seq INTEGER NOT NULL PRIMARY KEY,
    topic VARCHAR(255) NOT NULL,
    event_key VARCHAR(36) NOT NULL,
    payload TEXT NOT NULL,
    created_at DATETIME NOT NULL,
    request_id VARCHAR(128) NULL,
    traceparent VARCHAR(64) NULL
);

-- What replicas read to follow each other: whose credentials are not what they were.
CREATE TABLE changes (
    seq INTEGER NOT NULL PRIMARY KEY,
    user_id INTEGER NULL,
    created_at DATETIME NOT NULL
);

-- Who did what to whom.
CREATE TABLE audit (
    number INTEGER NOT NULL PRIMARY KEY,
    at DATETIME NOT NULL,
    actor_id INTEGER NOT NULL,
    actor VARCHAR(80) NOT NULL,
    subject_id INTEGER NOT NULL,
    subject VARCHAR(80) NOT NULL,
    action VARCHAR(64) NOT NULL,
    details TEXT NOT NULL,
    address VARCHAR(45) NOT NULL,
    request_id VARCHAR(128) NULL
);
CREATE INDEX audit_actor_id ON audit (actor_id);
CREATE INDEX audit_subject_id ON audit (subject_id);

-- Secrets that replicas share.
CREATE TABLE secrets (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    value VARCHAR(64) NOT NULL
);
