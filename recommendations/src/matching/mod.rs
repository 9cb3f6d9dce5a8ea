//! The matching algorithms: which preferences a film meets, and which films a preference meets.
//!
//! Films and keywords are cut into the same normalized words ([`words`]). A preference is a [`Keyword`]: those words
//! in a row. [`matches`] is the definition; [`Index`] answers the same question for all users or all films at once, in
//! memory, with work that grows with what matches. Plain functions on plain data: no actor, no database.

pub mod film;
pub mod keyword;
pub mod words;

pub mod index;

mod followers;
mod library;

mod id_set;
mod matched_users;
mod stems;
mod terms;
mod word;

pub use film::{FilmText, FilmWords, matches};
pub use index::Index;
pub use keyword::{Keyword, KeywordError};
pub use word::Word;
