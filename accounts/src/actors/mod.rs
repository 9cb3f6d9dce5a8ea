//! The service's actors, one a file.
