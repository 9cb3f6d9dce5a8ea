//! Reasons of errors in `google.rpc.ErrorInfo`, for programs to tell apart what shares a gRPC code.

/// The domain of all these reasons.
pub const DOMAIN: &str = "marquee";

/// FAILED_PRECONDITION: the movie has another version than `expected_version`.
pub const VERSION_DIFFERS: &str = "VERSION_DIFFERS";

/// ALREADY_EXISTS: another movie has the same title and year; its id is under [`FILM_ID`].
pub const SAME_TITLE_AND_YEAR: &str = "SAME_TITLE_AND_YEAR";

/// ALREADY_EXISTS: the id for a new movie is that of one which says something else, or which was deleted.
pub const ID_IN_USE: &str = "ID_IN_USE";

/// UNAVAILABLE: the disk is full, and nothing was saved.
pub const DISK_FULL: &str = "DISK_FULL";

/// The key of a film's id in the metadata of an `ErrorInfo`.
pub const FILM_ID: &str = "film_id";
