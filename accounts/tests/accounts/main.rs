//! The accounts service over every database there is.
