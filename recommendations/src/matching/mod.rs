//! The matching algorithms: which preferences a film meets, and which films a preference meets.
//!
//! Films and keywords are cut into folded words by the same rules ([`words`]). A preference is a [`Keyword`]: words in
//! a row, each of which meets its inflections. [`matches`] is the definition; [`Index`] answers the same question for
//! all users or all films at once, in memory, with work that grows with what matches. Plain functions on plain data:
//! no actor, no database.

pub mod film;
pub mod keyword;
pub mod words;

mod folding;
mod inflection;
mod word;

pub mod index;

mod film_index;
mod keyword_index;

mod id_set;
mod matched_users;
mod terms;

/// The version of the rules. Raise it with each change by which a keyword may meet other films or have another normal
/// form: what older rules led to is matched again when the program starts.
pub const RULES: i64 = 3;

pub use film::{FilmText, FilmWords, matches};
pub use index::Index;
pub use keyword::{Keyword, KeywordError};
pub use word::Word;

#[cfg(test)]
mod examples;
