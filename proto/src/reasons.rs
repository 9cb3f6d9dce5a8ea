//! Reasons of errors in `google.rpc.ErrorInfo`, for programs to tell apart what shares a gRPC code.

/// The domain of all these reasons.
pub const DOMAIN: &str = "marquee";

/// FAILED_PRECONDITION: the movie, or the account, has another version than `expected_version`.
pub const VERSION_DIFFERS: &str = "VERSION_DIFFERS";

/// ALREADY_EXISTS: another movie has the same title and year; its id is under [`FILM_ID`].
pub const SAME_TITLE_AND_YEAR: &str = "SAME_TITLE_AND_YEAR";

/// ALREADY_EXISTS: the id for a new movie is that of one which says something else, or which was deleted.
pub const ID_IN_USE: &str = "ID_IN_USE";

/// ALREADY_EXISTS: another movie has one of the external ids; its id is under [`FILM_ID`].
pub const EXTERNAL_ID_IN_USE: &str = "EXTERNAL_ID_IN_USE";

/// FAILED_PRECONDITION: a change of a movie cannot be undone, because the movie has changed since.
pub const FILM_CHANGED_SINCE: &str = "FILM_CHANGED_SINCE";

/// FAILED_PRECONDITION: the deletion of a movie cannot be undone, because the movie is not kept any more.
pub const DELETED_TOO_LONG_AGO: &str = "DELETED_TOO_LONG_AGO";

/// UNAVAILABLE: the disk is full, and nothing was saved.
pub const DISK_FULL: &str = "DISK_FULL";

/// The key of a film's id in the metadata of an `ErrorInfo`.
pub const FILM_ID: &str = "film_id";

/// The key, in the metadata of an `ErrorInfo`, of the secret with which a sign-in at an identity provider goes on.
pub const CONTINUATION: &str = "continuation";

/// ALREADY_EXISTS: somebody has the username.
pub const USERNAME_TAKEN: &str = "USERNAME_TAKEN";

/// ALREADY_EXISTS: somebody has the e-mail address.
pub const EMAIL_TAKEN: &str = "EMAIL_TAKEN";

/// PERMISSION_DENIED: nobody, or nobody without an invitation, can register.
pub const REGISTRATION_CLOSED: &str = "REGISTRATION_CLOSED";

/// PERMISSION_DENIED: the first account needs the code of the log.
pub const WRONG_SETUP_CODE: &str = "WRONG_SETUP_CODE";

/// PERMISSION_DENIED: the invitation was used, has ended, or never was.
pub const WRONG_INVITATION: &str = "WRONG_INVITATION";

/// UNAUTHENTICATED: there is no such account, or the password is another one.
pub const WRONG_CREDENTIALS: &str = "WRONG_CREDENTIALS";

/// UNAUTHENTICATED: the password is right, and a code of the second factor is needed.
pub const SECOND_FACTOR_NEEDED: &str = "SECOND_FACTOR_NEEDED";

/// UNAUTHENTICATED: the password is right, and the code of the second factor is not.
pub const WRONG_SECOND_FACTOR: &str = "WRONG_SECOND_FACTOR";

/// UNAUTHENTICATED: the e-mail address has to be confirmed first.
pub const EMAIL_UNCONFIRMED: &str = "EMAIL_UNCONFIRMED";

/// UNAUTHENTICATED: an admin has barred the account.
pub const ACCOUNT_DISABLED: &str = "ACCOUNT_DISABLED";

/// UNAUTHENTICATED: the session, access token or personal token is not valid, or not any more.
pub const WRONG_TOKEN: &str = "WRONG_TOKEN";

/// UNAUTHENTICATED: the refresh token was used before; its session is ended.
pub const TOKEN_REUSED: &str = "TOKEN_REUSED";

/// RESOURCE_EXHAUSTED: too many tries in a short time.
pub const TOO_MANY_TRIES: &str = "TOO_MANY_TRIES";

/// PERMISSION_DENIED: the code of a mail was used, has ended, or never was.
pub const WRONG_CODE: &str = "WRONG_CODE";

/// PERMISSION_DENIED: the present password, which is asked for again, is another one.
pub const WRONG_PASSWORD: &str = "WRONG_PASSWORD";

/// FAILED_PRECONDITION: it is the owner's account, of which this cannot be done.
pub const IS_OWNER: &str = "IS_OWNER";

/// FAILED_PRECONDITION: mail is not configured.
pub const NO_MAIL: &str = "NO_MAIL";
