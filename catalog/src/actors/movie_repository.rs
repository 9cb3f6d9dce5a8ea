//! The actor that reads and writes films. Every write goes to disk together with its outbox row;
//! totals and counts are remembered until the next write of this catalog.

use std::{rc::Rc, sync::Arc};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use runtime::{ChildGuard, Handle, supervision::in_request};
use storage::{Database, DbConnection};

use super::film_courier::{FilmCourier, FilmsSaved};
use crate::{
    Error,
    changes::Changes,
    films::{
        self, Film, FilmDraft, FilmId, FilmPage, GenreFilter, MAX_PAGE_SIZE, Summary, deleted,
        flags::{StoredFlag, Truth},
        reading,
        writing::{self, Edit, Flag},
    },
    flags::{self, Applied},
    sample,
    summary::{Figures, summarize},
};

/// Asks for one page of the films, newest first.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FilmPage, Error>")]
pub struct ListFilms {
    /// The page's number; below 1 means 1.
    pub page: i64,
    /// How many films a page has, 1 to [`MAX_PAGE_SIZE`]; others mean the nearest of these.
    pub page_size: i64,
    /// Only films that have this genre, or all of several, in whatever case.
    pub genre: Option<String>,
    /// Only films of this year.
    pub year: Option<String>,
}

/// Asks for one film.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct GetFilm(pub FilmId);

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
}

impl CreateFilm {
    /// Asks to add a film under a new id, whatever other films there are.
    pub fn new(draft: FilmDraft) -> Self {
        Self {
            draft,
            id: None,
            refuse_same: false,
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
}

impl UpdateFilm {
    /// Asks to replace what is said about a film, whatever its version.
    pub fn new(id: FilmId, draft: FilmDraft) -> Self {
        Self {
            id,
            draft,
            expected_version: None,
            refuse_same: false,
        }
    }
}

/// Asks to delete a film; answered when that is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct DeleteFilm(pub FilmId);

/// Asks to bring back a film that was deleted a short while ago; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct RestoreFilm {
    /// Which film.
    pub id: FilmId,
    /// Whether to refuse it if another film has the same title and year.
    pub refuse_same: bool,
}

/// Asks to apply what status events say of films, in their order. Answers for each.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Vec<Applied>")]
pub struct ApplyFlags(pub Vec<Flag>);

/// Asks to set the flags of films, as they were read, to what recommendations said later. Answers how
/// many were set: one that an event has changed meanwhile is not.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<usize, Error>")]
pub struct RepairFlags(pub Vec<(StoredFlag, Truth)>);

/// Asks for the catalog's figures, which may be a few seconds old as far as other catalogs write.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Arc<Summary>, Error>")]
pub struct CatalogSummary;

/// Asks to add the sample films, all of them or, if there is any film already, none. Answers how
/// many were added.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<usize, Error>")]
pub struct LoadSample;

/// The actor that reads and writes films. Writes go to disk together with their outbox rows, and the
/// courier is told of them.
pub struct MovieRepository {
    shared: Shared,
    guard: ChildGuard,
}

/// What the handlers' futures need.
#[derive(Clone)]
struct Shared {
    database: Database,
    courier: Handle<FilmCourier>,
    changes: Changes,
    figures: Rc<Figures>,
}

impl MovieRepository {
    /// Makes the actor.
    pub fn new(
        database: Database,
        courier: Handle<FilmCourier>,
        changes: Changes,
        guard: ChildGuard,
    ) -> Self {
        Self {
            shared: Shared {
                database,
                courier,
                changes,
                figures: Rc::default(),
            },
            guard,
        }
    }
}

runtime::requested!(MovieRepository);

impl Actor for MovieRepository {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.guard.ready();
    }
}

impl Handler<ListFilms> for MovieRepository {
    type Result = ResponseFuture<Result<FilmPage, Error>>;

    fn handle(&mut self, message: ListFilms, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        in_request(async move {
            let page = message.page.max(1);
            let page_size = message.page_size.clamp(1, MAX_PAGE_SIZE);
            let offset = (page - 1).saturating_mul(page_size);
            let genre = message.genre.as_deref().and_then(GenreFilter::parse);
            let year = message.year;
            let total = match (&year, &genre) {
                (Some(year), _) => shared.total_of_year(year, &genre).await?,
                (None, None) => shared.summary().await?.total,
                (None, Some(genre)) => shared.total_of_genre(genre).await?,
            };
            let films = if offset < total {
                let query = move |conn: &mut _| match &year {
                    Some(year) => {
                        reading::page_of_year(conn, year, genre.as_ref(), offset, page_size)
                    }
                    None => reading::page(conn, genre.as_ref(), offset, page_size),
                };
                shared.database.read(query).await?
            } else {
                Vec::new()
            };
            Ok(FilmPage {
                films,
                total,
                page,
                page_size,
            })
        })
    }
}

impl Handler<GetFilm> for MovieRepository {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, GetFilm(id): GetFilm, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        in_request(async move {
            let film = shared
                .database
                .read(move |conn| reading::get(conn, &id))
                .await?;
            film.ok_or(Error::NotFound)
        })
    }
}

impl Handler<CreateFilm> for MovieRepository {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, message: CreateFilm, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let CreateFilm {
            draft,
            id,
            refuse_same,
        } = message;
        let now = films::now();
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
                if deleted::title_and_year(conn, &id)?.is_some() {
                    return Ok(Err(Error::IdInUse));
                }
                if let Some(wanted) = &wanted
                    && let Some(same) = wanted.find_same(conn)?
                {
                    return Ok(Err(Error::SameTitleAndYear(same)));
                }
                writing::create(conn, &id, &draft, now, now).map(Ok)
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
        } = message;
        let now = films::now();
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
                let edit = writing::update(conn, &id, &draft, expected_version, now)?;
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

    fn handle(&mut self, DeleteFilm(id): DeleteFilm, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let now = films::now();
        in_request(async move {
            let was_there = shared
                .write(move |conn| writing::delete(conn, &id, now))
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
        let RestoreFilm { id, refuse_same } = message;
        let now = films::now();
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
                Ok(writing::restore(conn, &id, now)?.ok_or(Error::NotFound))
            };
            shared.write(restore).await?
        })
    }
}

impl Handler<ApplyFlags> for MovieRepository {
    type Result = ResponseFuture<Vec<Applied>>;

    fn handle(&mut self, ApplyFlags(events): ApplyFlags, _: &mut Context<Self>) -> Self::Result {
        let Shared {
            database, changes, ..
        } = self.shared.clone();
        in_request(async move {
            let applied = flags::apply(&database, events).await;
            changes.announce();
            applied
        })
    }
}

impl Handler<RepairFlags> for MovieRepository {
    type Result = ResponseFuture<Result<usize, Error>>;

    fn handle(
        &mut self,
        RepairFlags(mut repairs): RepairFlags,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let Shared {
            database, changes, ..
        } = self.shared.clone();
        // In the order in which events lock the films.
        repairs.sort_by(|(a, _), (b, _)| a.film_id.cmp(&b.film_id));
        in_request(async move {
            let repair = move |conn: &mut _| {
                let mut repaired = 0;
                for (read, truth) in &repairs {
                    repaired += usize::from(films::flags::repair(conn, read, truth)?);
                }
                Ok(repaired)
            };
            let repaired = database.write(repair).await;
            changes.announce();
            Ok(repaired?)
        })
    }
}

impl Handler<CatalogSummary> for MovieRepository {
    type Result = ResponseFuture<Result<Arc<Summary>, Error>>;

    fn handle(&mut self, _: CatalogSummary, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        in_request(async move { shared.summary().await })
    }
}

impl Handler<LoadSample> for MovieRepository {
    type Result = ResponseFuture<Result<usize, Error>>;

    fn handle(&mut self, _: LoadSample, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let now = films::now();
        in_request(async move { shared.write(move |conn| sample::load(conn, now)).await })
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

    /// Writes, and tells the courier and those who watch.
    async fn write<R, F>(&self, change: F) -> Result<R, Error>
    where
        F: FnMut(&mut DbConnection) -> diesel::QueryResult<R> + Send + 'static,
        R: Send + 'static,
    {
        let outcome = self.database.write(change).await;
        // Also after an error: a write that was not answered in time may still have been done.
        self.figures.written();
        self.changes.announce();
        // The courier looks by itself when it could not be told.
        let _ = self.courier.tell(FilmsSaved);
        Ok(outcome?)
    }

    async fn summary(&self) -> Result<Arc<Summary>, Error> {
        let read = async {
            let counts = self.database.read(reading::count_by_genre).await?;
            Ok(Arc::new(summarize(counts)))
        };
        self.figures.summary(read).await
    }

    /// Counted each time: an index has the films of a year together.
    async fn total_of_year(&self, year: &str, genre: &Option<GenreFilter>) -> Result<i64, Error> {
        let (year, genre) = (year.to_owned(), genre.clone());
        let count = move |conn: &mut _| reading::count_of_year(conn, &year, genre.as_ref());
        Ok(self.database.read(count).await?)
    }

    async fn total_of_genre(&self, genre: &GenreFilter) -> Result<i64, Error> {
        let asked = genre.clone();
        let read = self
            .database
            .read(move |conn| reading::count_of_genre(conn, &asked));
        Ok(self.figures.of_genre(genre.clone(), read).await?)
    }
}
