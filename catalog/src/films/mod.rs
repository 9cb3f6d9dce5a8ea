//! Films: plain data, the rules that it keeps, and the queries that read and write it.
//!
//! Queries are functions over a connection; only the storage crate's executors call them. Every
//! write puts what recommendations must learn into the outbox, and what was changed into the history, in the same transaction.

mod film;

mod draft;
mod page;

pub mod schema;

pub mod reading;

pub mod genres;

pub mod writing;

pub mod external_ids;

pub mod importing;

pub mod deleted;

pub mod history;

pub mod outbox;

pub mod flags;

mod clock;
mod text;

pub use clock::{Moment, now};
pub use draft::{FieldError, FieldErrors, FilmDraft, FilmFields, MAX_GENRE_CHARS};
pub use external_ids::ExternalId;
pub use film::{Film, decimal};
pub use genres::GenreFilter;
pub use history::Stamp;
pub use page::{FilmPage, MAX_PAGE_SIZE, Summary};
pub use proto::{FilmId, InvalidFilmId};

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use storage::Migrations;

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/movies/sqlite");
const MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/movies/mysql");

/// The steps that bring a movies database up to date.
pub fn migrations() -> Migrations {
    Migrations {
        sqlite: SQLITE,
        mysql: MYSQL,
        fill: Some(genres::catch_up),
        needed_step: "20261130000030",
    }
}
