//! The identity of a movie.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// The most characters that an id may have: the width of the column.
const MAX_LEN: usize = 36;

/// The id of a movie: a UUID for every movie that this catalog made.
///
/// Databases of older deployments may hold other texts, which must stay reachable, so that any text
/// of 1 to 36 printable characters without spaces is an id. Ids are compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MovieId(Arc<str>);

/// The text is no id of a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 36 characters without spaces, as in `6f9619ff-8b86-d011-b42d-00c04fc964ff`")]
pub struct InvalidMovieId;

impl MovieId {
    /// Makes the id of a new movie from random bits.
    pub fn new(random: u128) -> Self {
        let uuid = uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid();
        Self::from(uuid)
    }

    /// The id as the database and the wire hold it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uuid> for MovieId {
    fn from(uuid: Uuid) -> Self {
        let mut buffer = Uuid::encode_buffer();
        Self(Arc::from(&*uuid.hyphenated().encode_lower(&mut buffer)))
    }
}

impl FromStr for MovieId {
    type Err = InvalidMovieId;

    fn from_str(text: &str) -> Result<Self, InvalidMovieId> {
        let printable = |c: char| !c.is_whitespace() && !c.is_control();
        // The second test bounds the first, which would walk a long text to its end.
        if text.is_empty()
            || text.len() > 4 * MAX_LEN
            || text.chars().count() > MAX_LEN
            || !text.chars().all(printable)
        {
            return Err(InvalidMovieId);
        }
        Ok(Self(Arc::from(text)))
    }
}

impl fmt::Display for MovieId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_a_random_uuid() {
        let id = MovieId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "01234567-89ab-4def-8123-456789abcdef");
        assert_eq!(id.to_string().parse::<MovieId>().unwrap(), id);
    }

    #[test]
    fn ids_are_short_and_without_spaces() {
        for text in [
            "a",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "A-1",
            &"é".repeat(36),
        ] {
            assert!(text.parse::<MovieId>().is_ok(), "{text}");
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
            assert!(text.parse::<MovieId>().is_err(), "{text}");
        }
    }
}
