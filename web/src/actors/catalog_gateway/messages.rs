//! What the pages ask of the catalog, and what it answers.

use std::collections::BTreeMap;

use actix::Message;
use chrono::NaiveDateTime;
use proto::FilmId;
use runtime::grpc::Person;

use crate::error::{Error, FieldError};

/// A film. Texts that were never given are empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// Its identity.
    pub id: FilmId,
    /// Its title.
    pub title: String,
    /// What it is about; empty in lists.
    pub description: String,
    /// One or several genres with commas between them.
    pub genre: String,
    /// From 0 to 10.
    pub rating: Option<f64>,
    /// Four digits.
    pub release_year: String,
    /// When it was added, UTC.
    pub created_at: NaiveDateTime,
    /// When it was last edited, UTC.
    pub updated_at: NaiveDateTime,
    /// Whether it is recommended to at least one user.
    pub is_recommended: bool,
    /// Grows with each edit; older catalogs do not tell it.
    pub version: Option<i64>,
    /// The film's ids elsewhere, at most one of each source.
    pub external_ids: ExternalIds,
}

/// Ids that a film has elsewhere, by their sources.
pub type ExternalIds = BTreeMap<String, String>;

/// What a person typed into the form of a film.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the form's fields say it all")]
pub struct FilmFields {
    pub title: String,
    pub description: String,
    pub genre: String,
    pub rating: String,
    pub release_year: String,
}

/// One page of the films, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct FilmPage {
    /// The films of the page; none beyond the last page.
    pub films: Vec<Film>,
    /// How many films all pages hold together.
    pub total: i64,
    /// The page's number, from 1.
    pub page: i64,
    /// How many films a full page holds.
    pub page_size: i64,
}

impl FilmPage {
    /// The number of the last page, at least 1.
    pub fn last_page(&self) -> i64 {
        ((self.total + self.page_size - 1) / self.page_size.max(1)).max(1)
    }
}

/// What the catalog holds, in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many films there are.
    pub total: i64,
    /// Each genre with the number of its films, the commonest first.
    pub genres: Vec<(String, i64)>,
    /// How many films the sample has.
    pub sample_size: i32,
}

/// Asks for one page of the films, without descriptions.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FilmPage, Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct ListFilms {
    pub page: i64,
    pub page_size: i64,
    /// Only films of this genre, unless it is empty.
    pub genre: String,
    /// Only films of this year, unless it is empty.
    pub year: String,
}

/// Asks for one film.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct GetFilm(pub FilmId);

/// Asks for the film that has an id elsewhere.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct FindFilm {
    /// Where it has the id.
    pub source: String,
    /// The id there.
    pub value: String,
}

/// A film to import: what is empty or absent leaves a film that is known as it is.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in Film")]
pub struct ImportedFilm {
    pub title: String,
    pub description: String,
    pub genre: String,
    pub rating: Option<f64>,
    pub release_year: String,
    pub external_ids: ExternalIds,
}

/// Asks to add films, or to bring those up to date that are known by an id elsewhere; answered when it is on disk, with an outcome for each.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<ImportOutcome>, Error>")]
pub struct ImportFilms {
    /// Who imports them.
    pub person: Option<Person>,
    /// At most 500.
    pub films: Vec<ImportedFilm>,
    /// Whether films are also found by title and year.
    pub match_title_and_year: bool,
}

/// What became of an imported film.
#[derive(Debug, Clone, PartialEq)]
pub enum ImportOutcome {
    /// It was added.
    Created(FilmId),
    /// It says something else now.
    Updated(FilmId),
    /// It said the same before.
    Unchanged(FilmId),
    /// Nothing was done for it, because of these fields.
    Refused(Vec<FieldError>),
}

/// Asks to add a film; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct CreateFilm {
    /// Who adds it.
    pub person: Option<Person>,
    /// What is said about it.
    pub fields: FilmFields,
    /// Its id. If a film of that id exists and says the same, the answer is that film.
    pub id: Option<FilmId>,
    /// Its ids elsewhere.
    pub external_ids: ExternalIds,
    /// Whether to refuse it if another film has the same title and year.
    pub refuse_same: bool,
}

/// Asks to replace what is said about a film; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct UpdateFilm {
    /// Who edits it.
    pub person: Option<Person>,
    /// Which film.
    pub id: FilmId,
    /// What is said about it now.
    pub fields: FilmFields,
    /// Its ids elsewhere from now on, if they change.
    pub external_ids: Option<ExternalIds>,
    /// The version that the editor saw.
    pub expected_version: Option<i64>,
    /// Whether to refuse a title and year that it does not have yet, and another film has.
    pub refuse_same: bool,
}

/// Asks to delete a film; answered when that is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct DeleteFilm {
    pub person: Option<Person>,
    pub id: FilmId,
}

/// Asks to bring back a film that was deleted a short while ago; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct RestoreFilm {
    pub person: Option<Person>,
    pub id: FilmId,
    pub refuse_same: bool,
}

/// Asks for the catalog's figures.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Summary, Error>")]
pub struct GetSummary;

/// Asks to add the sample to an empty catalog; answers how many films were added.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<i32, Error>")]
pub struct LoadSample {
    /// Who loads it.
    pub person: Option<Person>,
}
