//! The ids that services exchange, as types: a user id never passes for a film id or a count.
//!
//! On the wire a user is an `int32` and a film a string; both become these types where a message
//! is read. A film id need not be a UUID, because older catalogs may hold other texts.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

/// The most characters that an id may have: the width of the column.
const MAX_LEN: usize = 36;

/// A user, by the number that every service knows the user by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub i32);

impl UserId {
    /// The owner: every visitor, as long as there are no accounts.
    pub const OWNER: Self = Self(1);
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a film: a UUID for every film that this catalog created.
///
/// Databases of older deployments may hold other texts, which must stay reachable, so any text of
/// 1 to 36 printable characters without spaces is an id. Ids are compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilmId(Arc<str>);

/// The text is not a film id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 36 characters without spaces, as in `6f9619ff-8b86-d011-b42d-00c04fc964ff`")]
pub struct InvalidFilmId;

impl FilmId {
    /// Returns the id of a new film, made from random bits.
    pub fn new(random: u128) -> Self {
        let uuid = uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid();
        Self::from(uuid)
    }

    /// Returns the id of a row that a database holds.
    ///
    /// Databases of older deployments may hold texts that are refused where an id comes in, and these
    /// rows must stay reachable.
    pub fn stored(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// Returns the id as the database and the wire hold it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uuid> for FilmId {
    fn from(uuid: Uuid) -> Self {
        let mut buffer = Uuid::encode_buffer();
        Self(Arc::from(&*uuid.hyphenated().encode_lower(&mut buffer)))
    }
}

impl FromStr for FilmId {
    type Err = InvalidFilmId;

    fn from_str(text: &str) -> Result<Self, InvalidFilmId> {
        let printable = |c: char| !c.is_whitespace() && !c.is_control();
        // The second test bounds the first, which would walk a long text to its end.
        if text.is_empty()
            || text.len() > 4 * MAX_LEN
            || text.chars().count() > MAX_LEN
            || !text.chars().all(printable)
        {
            return Err(InvalidFilmId);
        }
        Ok(Self(Arc::from(text)))
    }
}

impl fmt::Display for FilmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_a_random_uuid() {
        let id = FilmId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "01234567-89ab-4def-8123-456789abcdef");
        assert_eq!(id.to_string().parse::<FilmId>().unwrap(), id);
    }

    #[test]
    fn ids_are_short_and_without_spaces() {
        for text in [
            "a",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "A-1",
            &"é".repeat(36),
        ] {
            assert!(text.parse::<FilmId>().is_ok(), "{text}");
        }
        for text in [
            "",
            " ",
            "a b",
            "a\0",
            "a\n",
            &"a".repeat(37),
            &"é".repeat(5000),
        ] {
            assert!(text.parse::<FilmId>().is_err(), "{text}");
        }
    }
}
