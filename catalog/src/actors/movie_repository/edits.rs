//! Films are added, edited, deleted and brought back. A film may be refused whose title and year another one has.

use actix::{Context, Handler, Message, ResponseFuture};
use proto::UserId;
use runtime::supervision::in_request;
use storage::DbConnection;

use super::{MovieRepository, Shared};
use crate::{
    Error,
    films::{
        self, Film, FilmDraft, FilmId, Stamp, deleted, external_ids, reading,
        writing::{self, Edit},
    },
    sample,
};

/// Asks to add a film; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct CreateFilm {
    /// What is said about it.
    pub draft: FilmDraft,
    /// Its id, or a new one. If a film of that id exists and says the same, the answer is that film.
    pub id: Option<FilmId>,
    /// Whether to refuse it if another film has the same title and year.
    pub refuse_same: bool,
    /// On whose behalf.
    pub by: Option<UserId>,
}

impl CreateFilm {
    /// Asks to add a film under a new id, whatever other films there are.
    pub fn new(draft: FilmDraft) -> Self {
        Self {
            draft,
            id: None,
            refuse_same: false,
            by: None,
        }
    }
}

/// Asks to replace what is said about a film; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct UpdateFilm {
    /// Which film.
    pub id: FilmId,
    /// What is said about it now.
    pub draft: FilmDraft,
    /// The version that the film has to have, if any.
    pub expected_version: Option<i64>,
    /// Whether to refuse a title and year that it does not have yet, and another film has.
    pub refuse_same: bool,
    /// On whose behalf.
    pub by: Option<UserId>,
}

impl UpdateFilm {
    /// Asks to replace what is said about a film, whatever its version.
    pub fn new(id: FilmId, draft: FilmDraft) -> Self {
        Self {
            id,
            draft,
            expected_version: None,
            refuse_same: false,
            by: None,
        }
    }
}

/// Asks to delete a film; answered when that is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct DeleteFilm {
    /// Which film.
    pub id: FilmId,
    /// On whose behalf.
    pub by: Option<UserId>,
}

impl DeleteFilm {
    /// Asks to delete a film on behalf of no user.
    pub fn new(id: FilmId) -> Self {
        Self { id, by: None }
    }
}

/// Asks to bring back a film that was deleted a short while ago; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct RestoreFilm {
    /// Which film.
    pub id: FilmId,
    /// Whether to refuse it if another film has the same title and year.
    pub refuse_same: bool,
    /// On whose behalf.
    pub by: Option<UserId>,
}

/// Asks to add the sample films, all of them or, if there is any film already, none. Answers how
/// many were added.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "Result<usize, Error>")]
pub struct LoadSample {
    /// On whose behalf.
    pub by: Option<UserId>,
}

impl Handler<CreateFilm> for MovieRepository {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, message: CreateFilm, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let CreateFilm {
            draft,
            id,
            refuse_same,
            by,
        } = message;
        let now = films::now();
        let stamp = Stamp::new(now, by);
        let id = id.unwrap_or_else(|| FilmId::new(rand::random()));
        in_request(async move {
            let wanted = match refuse_same {
                true => Some(shared.unique_draft(&draft, &id).await?),
                false => None,
            };
            let create = move |conn: &mut _| {
                if let Some(film) = reading::get(conn, &id)? {
                    let is_sent_again = draft.describes(&film);
                    return Ok(is_sent_again.then_some(film).ok_or(Error::IdInUse));
                }
                if let Some(ids) = draft.external_ids()
                    && let Some((external, film)) = external_ids::taken(conn, ids, &id)?
                {
                    return Ok(Err(Error::ExternalIdInUse(external, film)));
                }
                if deleted::title_and_year(conn, &id)?.is_some() {
                    return Ok(Err(Error::IdInUse));
                }
                if let Some(wanted) = &wanted
                    && let Some(same) = wanted.find_same(conn)?
                {
                    return Ok(Err(Error::SameTitleAndYear(same)));
                }
                writing::create(conn, &id, &draft, now, stamp).map(Ok)
            };
            shared.write(create).await?
        })
    }
}

impl Handler<UpdateFilm> for MovieRepository {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, message: UpdateFilm, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let UpdateFilm {
            id,
            draft,
            expected_version,
            refuse_same,
            by,
        } = message;
        let stamp = Stamp::new(films::now(), by);
        in_request(async move {
            let wanted = match refuse_same {
                true => Some(shared.unique_draft(&draft, &id).await?),
                false => None,
            };
            let update = move |conn: &mut _| {
                if let Some(wanted) = &wanted
                    && let Some(before) = reading::get(conn, &id)?
                    && expected_version.is_none_or(|expected| expected == before.version)
                    && !wanted.are_of(&before)
                    && let Some(same) = wanted.find_same(conn)?
                {
                    return Ok(Err(Error::SameTitleAndYear(same)));
                }
                if let Some(ids) = draft.external_ids()
                    && let Some((external, film)) = external_ids::taken(conn, ids, &id)?
                {
                    return Ok(Err(Error::ExternalIdInUse(external, film)));
                }
                let edit = writing::update(conn, &id, &draft, expected_version, stamp)?;
                Ok(match edit {
                    Edit::Saved(film) => Ok(film),
                    Edit::Conflict(_) => Err(Error::VersionDiffers),
                    Edit::NotFound => Err(Error::NotFound),
                })
            };
            shared.write(update).await?
        })
    }
}

impl Handler<DeleteFilm> for MovieRepository {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, DeleteFilm { id, by }: DeleteFilm, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let stamp = Stamp::new(films::now(), by);
        in_request(async move {
            let was_there = shared
                .write(move |conn| writing::delete(conn, &id, stamp))
                .await?;
            if was_there {
                Ok(())
            } else {
                Err(Error::NotFound)
            }
        })
    }
}

impl Handler<RestoreFilm> for MovieRepository {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, message: RestoreFilm, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let RestoreFilm {
            id,
            refuse_same,
            by,
        } = message;
        let stamp = Stamp::new(films::now(), by);
        in_request(async move {
            let mut wanted = None;
            if refuse_same {
                let of = id.clone();
                let find = move |conn: &mut _| deleted::title_and_year(conn, &of);
                if let Some((title, year)) = shared.database.read(find).await? {
                    wanted = Some(shared.unique(&title, &year, &id).await?);
                }
            }
            let restore = move |conn: &mut _| {
                if let Some(wanted) = &wanted
                    && let Some(same) = wanted.find_same(conn)?
                {
                    return Ok(Err(Error::SameTitleAndYear(same)));
                }
                Ok(writing::restore(conn, &id, stamp)?.ok_or(Error::NotFound))
            };
            shared.write(restore).await?
        })
    }
}

impl Handler<LoadSample> for MovieRepository {
    type Result = ResponseFuture<Result<usize, Error>>;

    fn handle(&mut self, LoadSample { by }: LoadSample, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let stamp = Stamp::new(films::now(), by);
        in_request(async move { shared.write(move |conn| sample::load(conn, stamp)).await })
    }
}

/// The title and year that a film is to have and no other.
struct Unique {
    title: String,
    year: String,
    id: FilmId,
    /// Another film of that title which may be of that year, because one of both has none. Looked for before the write, which all
    /// others wait for: very many titles are read for it.
    without_year: Option<FilmId>,
}

impl Unique {
    fn are_of(&self, film: &Film) -> bool {
        (&self.title, &self.year) == (&film.title, &film.release_year)
    }

    /// Another film that has the title and year.
    fn find_same(&self, conn: &mut DbConnection) -> diesel::QueryResult<Option<FilmId>> {
        let same = reading::find_same(conn, &self.title, &self.year)?;
        if let Some(same) = other_than(&self.id, same) {
            return Ok(Some(same));
        }
        match &self.without_year {
            // It may have been deleted meanwhile.
            Some(same) => Ok(reading::get(conn, same)?.map(|same| same.id)),
            None => Ok(None),
        }
    }
}

fn other_than(id: &FilmId, films: Vec<Film>) -> Option<FilmId> {
    let mut ids = films.into_iter().map(|film| film.id);
    ids.find(|found| found != id)
}

impl Shared {
    /// The title and year of a draft, which the film `id` is to have and no other.
    async fn unique_draft(&self, draft: &FilmDraft, id: &FilmId) -> Result<Unique, Error> {
        self.unique(draft.title(), draft.release_year(), id).await
    }

    /// The title and year that the film `id` is to have and no other.
    async fn unique(&self, title: &str, year: &str, id: &FilmId) -> Result<Unique, Error> {
        let (title, year) = (title.to_owned(), year.to_owned());
        let (of_title, of_year) = (title.clone(), year.clone());
        let find = move |conn: &mut _| reading::find_same_without_year(conn, &of_title, &of_year);
        let same = self.database.read(find).await?;
        Ok(Unique {
            without_year: other_than(id, same),
            title,
            year,
            id: id.clone(),
        })
    }
}
