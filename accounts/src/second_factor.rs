//! The second factor: codes of an authenticator, and recovery codes for when it is lost.
