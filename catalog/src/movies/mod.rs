//! What the catalog knows about movies: plain data, the rules for it, and the queries on it.

mod movie;

mod draft;
mod page;

pub mod schema;

pub mod reading;

pub mod keyset;

pub mod writing;

pub mod outbox;

mod clock;

pub use clock::{Moment, now};
pub use draft::{FieldError, FieldErrors, MAX_GENRE_CHARS, MovieDraft, MovieFields};
pub use movie::Movie;
pub use page::{MAX_PAGE_SIZE, MoviePage, Summary};
pub use proto::{FilmId, InvalidFilmId};

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use storage::Migrations;

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/movies/sqlite");
const MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/movies/mysql");

/// What brings a movies database up to date.
pub fn migrations() -> Migrations {
    Migrations {
        sqlite: SQLITE,
        mysql: MYSQL,
    }
}
