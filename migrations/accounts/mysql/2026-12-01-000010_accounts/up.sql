-- Every write takes its number here, under the writer's lock: commits happen in the numbers' order.
CREATE TABLE IF NOT EXISTS sequences (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT IGNORE INTO sequences (name, value) VALUES ('changes', 0), ('users', 0), ('trimmed', 0);

-- People. The owner has the id 1; ids are never given twice.
CREATE TABLE IF NOT EXISTS users (
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
    created_at DATETIME(6) NOT NULL,
    last_used_at DATETIME(6) NULL,
    version BIGINT NOT NULL,
    UNIQUE KEY users_username_key (username_key),
    UNIQUE KEY users_email_key (email_key)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What others see of a person's face.
CREATE TABLE IF NOT EXISTS pictures (
    user_id INTEGER NOT NULL PRIMARY KEY,
    image MEDIUMBLOB NOT NULL,
    version BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row a device, of pages and of programs. The secret is here as SHA-256 alone; that of a program changes with each refresh, and
-- `family` is what all of its refresh tokens have in common.
CREATE TABLE IF NOT EXISTS sessions (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    secret VARCHAR(64) NOT NULL,
    family VARCHAR(64) NULL,
    is_of_pages BOOLEAN NOT NULL,
    is_remembered BOOLEAN NOT NULL,
    created_at DATETIME(6) NOT NULL,
    last_used_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    address VARCHAR(45) NOT NULL,
    agent VARCHAR(255) NOT NULL,
    KEY sessions_user_id (user_id),
    UNIQUE KEY sessions_secret (secret),
    UNIQUE KEY sessions_family (family),
    KEY sessions_expires_at (expires_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Tokens that people make for their programs.
CREATE TABLE IF NOT EXISTS personal_tokens (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    name VARCHAR(80) NOT NULL,
    secret VARCHAR(64) NOT NULL,
    prefix VARCHAR(16) NOT NULL,
    scopes INTEGER NOT NULL,
    created_at DATETIME(6) NOT NULL,
    last_used_at DATETIME(6) NULL,
    expires_at DATETIME(6) NULL,
    KEY personal_tokens_user_id (user_id),
    UNIQUE KEY personal_tokens_secret (secret)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Codes that were sent by mail: to prove an address, or to set a new password.
CREATE TABLE IF NOT EXISTS codes (
    code VARCHAR(64) NOT NULL PRIMARY KEY,
    user_id INTEGER NOT NULL,
    kind VARCHAR(16) NOT NULL,
    email VARCHAR(254) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    KEY codes_user_id (user_id),
    KEY codes_expires_at (expires_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Codes for one use each, for when the authenticator is lost.
CREATE TABLE IF NOT EXISTS recovery_codes (
    user_id INTEGER NOT NULL,
    code VARCHAR(64) NOT NULL,
    PRIMARY KEY (user_id, code)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Who may register although registration is not open.
CREATE TABLE IF NOT EXISTS invitations (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    code VARCHAR(64) NOT NULL,
    role INTEGER NOT NULL,
    email VARCHAR(254) NOT NULL,
    invited_by INTEGER NOT NULL,
    created_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    used_by INTEGER NULL,
    UNIQUE KEY invitations_code (code),
    KEY invitations_expires_at (expires_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Who somebody is at an identity provider.
CREATE TABLE IF NOT EXISTS identities (
    provider VARCHAR(64) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    user_id INTEGER NOT NULL,
    created_at DATETIME(6) NOT NULL,
    KEY identities_user_id (user_id),
    PRIMARY KEY (provider, subject)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Sign-ins at identity providers that have begun.
CREATE TABLE IF NOT EXISTS provider_sign_ins (
    state VARCHAR(64) NOT NULL PRIMARY KEY,
    provider VARCHAR(64) NOT NULL,
    nonce VARCHAR(128) NOT NULL,
    verifier VARCHAR(128) NOT NULL,
    return_to VARCHAR(2048) NOT NULL,
    link_to INTEGER NULL,
    invitation VARCHAR(128) NOT NULL,
    redirect_uri VARCHAR(2048) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    KEY provider_sign_ins_expires_at (expires_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Mails that were not sent yet.
CREATE TABLE IF NOT EXISTS mails (
    seq BIGINT NOT NULL PRIMARY KEY,
    recipient VARCHAR(254) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    body TEXT NOT NULL,
    created_at DATETIME(6) NOT NULL,
    attempts INTEGER NOT NULL,
    next_try DATETIME(6) NOT NULL,
    request_id VARCHAR(128) NULL,
    traceparent VARCHAR(64) NULL,
    KEY mails_next_try (next_try)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What access tokens are signed with.
CREATE TABLE IF NOT EXISTS signing_keys (
    kid VARCHAR(64) NOT NULL PRIMARY KEY,
    secret VARCHAR(255) NOT NULL,
    created_at DATETIME(6) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Events that the broker does not have yet.
CREATE TABLE IF NOT EXISTS outbox (
    seq BIGINT NOT NULL PRIMARY KEY,
    topic VARCHAR(255) NOT NULL,
    event_key VARCHAR(36) NOT NULL,
    payload TEXT NOT NULL,
    created_at DATETIME(6) NOT NULL,
    request_id VARCHAR(128) NULL,
    traceparent VARCHAR(64) NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What replicas read to follow each other: whose credentials are not what they were.
CREATE TABLE IF NOT EXISTS changes (
    seq BIGINT NOT NULL PRIMARY KEY,
    user_id INTEGER NULL,
    created_at DATETIME(6) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Who did what to whom.
CREATE TABLE IF NOT EXISTS audit (
    number BIGINT NOT NULL PRIMARY KEY,
    at DATETIME(6) NOT NULL,
    actor_id INTEGER NOT NULL,
    actor VARCHAR(80) NOT NULL,
    subject_id INTEGER NOT NULL,
    subject VARCHAR(80) NOT NULL,
    action VARCHAR(64) NOT NULL,
    details TEXT NOT NULL,
    address VARCHAR(45) NOT NULL,
    request_id VARCHAR(128) NULL,
    KEY audit_actor_id (actor_id),
    KEY audit_subject_id (subject_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Secrets that replicas share.
CREATE TABLE IF NOT EXISTS secrets (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    value VARCHAR(64) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
