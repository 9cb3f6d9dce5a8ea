//! The lists of films at `/`, made once for all who look, and each user's marks in them.
//!
//! A list holds until films change, and for a second at most, because another catalog may write to the
//! same database. Lists and marks are kept under the numbers of [`Freshness`] that were current before
//! they were read: a change makes new numbers, so nothing has to be found and removed.

use std::{
    io::Write,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use moka::future::Cache;
use proto::{FilmId, UserId};

use crate::{
    freshness::Freshness,
    marks::Marks,
    page_error::PageError,
    slots::{LayoutSlots, Pieces},
    templates::{Part, templates},
    views::{Audience, FilmsView, Filter, Layout, Place},
};

/// How long a list holds when no change is told.
const PAGE_AGE: Duration = Duration::from_secs(1);
/// How long marks hold when no change is told: reasons may change without one.
const MARKS_AGE: Duration = Duration::from_secs(5);
/// How long a rendered list is kept to be compared with the next.
const IDLE: Duration = Duration::from_secs(300);
/// How many lists are kept.
const PAGES: u64 = 128;
/// How many bytes of marks, and of pages compressed with them, are kept.
const MARKS_BYTES: u64 = 48 << 20;
/// About how many bytes a compressed page has.
const COMPRESSED: u32 = 4_096;

/// Which list is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListKey {
    pub(crate) filter: Filter,
    /// What the address asks for besides; the list is not limited to these.
    pub(crate) ignored: Vec<Filter>,
    pub(crate) page: i64,
    /// For whom it is.
    pub(crate) audience: Audience,
}

/// A list as it is for all users.
#[derive(Debug)]
pub(crate) struct SharedList {
    /// Differs from that of every other list, also of the same one when films have changed.
    number: u64,
    audience: Audience,
    pub(crate) view: FilmsView,
    /// The films that are shown, and whether each is recommended to at least one user.
    pub(crate) films: Vec<(FilmId, bool)>,
    page: OnceLock<Pieces>,
    part: OnceLock<Pieces>,
}

/// What the pages keep in memory.
#[derive(Debug)]
pub(crate) struct PageCache {
    lists: Cache<(ListKey, u64), Arc<SharedList>>,
    /// The last of each list, whose rendering is used again if the next one is equal.
    rendered: Cache<ListKey, Arc<SharedList>>,
    marks: Cache<(Option<UserId>, u64, u64), Arc<Marks>>,
    number: AtomicU64,
}

impl Default for PageCache {
    fn default() -> Self {
        Self {
            lists: Cache::builder()
                .max_capacity(PAGES)
                .time_to_live(PAGE_AGE)
                .build(),
            rendered: Cache::builder()
                .max_capacity(PAGES)
                .time_to_idle(IDLE)
                .build(),
            marks: Cache::builder()
                .max_capacity(MARKS_BYTES)
                .weigher(|_, marks: &Arc<Marks>| marks.size().saturating_add(COMPRESSED))
                .time_to_live(MARKS_AGE)
                .build(),
            number: AtomicU64::new(0),
        }
    }
}

impl PageCache {
    /// The list as it is kept, or as `make` makes it now. Those who ask for the same list at once wait
    /// for the same making, which never began before a change that they know of.
    pub(crate) async fn list(
        &self,
        key: ListKey,
        freshness: &Freshness,
        make: impl Future<Output = Result<(FilmsView, Vec<(FilmId, bool)>), PageError>>,
    ) -> Result<Arc<SharedList>, PageError> {
        let kept = (key.clone(), freshness.films());
        let making = self.render(key, make);
        let list = self.lists.try_get_with(kept, making).await;
        list.map_err(PageError::Shared)
    }

    /// The list as `make` makes it now, for whoever looks next, too.
    pub(crate) async fn new_list(
        &self,
        key: ListKey,
        freshness: &Freshness,
        make: impl Future<Output = Result<(FilmsView, Vec<(FilmId, bool)>), PageError>>,
    ) -> Result<Arc<SharedList>, PageError> {
        let kept = (key.clone(), freshness.films());
        let list = self.render(key, make).await?;
        self.lists.insert(kept, list.clone()).await;
        Ok(list)
    }

    async fn render(
        &self,
        key: ListKey,
        make: impl Future<Output = Result<(FilmsView, Vec<(FilmId, bool)>), PageError>>,
    ) -> Result<Arc<SharedList>, PageError> {
        let (view, films) = make.await?;
        if let Some(before) = self.rendered.get(&key).await
            && before.view == view
            && before.films == films
        {
            return Ok(before);
        }
        let list = Arc::new(SharedList {
            number: self.number.fetch_add(1, Ordering::Relaxed),
            audience: key.audience,
            view,
            films,
            page: OnceLock::new(),
            part: OnceLock::new(),
        });
        self.rendered.insert(key, list.clone()).await;
        Ok(list)
    }

    /// A user's marks in the list, as they are kept or as `ask` makes them now. Marks that could not be
    /// had are not kept.
    pub(crate) async fn marks(
        &self,
        user: Option<UserId>,
        list: &SharedList,
        freshness: &Freshness,
        ask: impl Future<Output = Result<Arc<Marks>, Arc<Marks>>>,
    ) -> Arc<Marks> {
        let change = user.map_or(0, |user| freshness.user(user));
        let kept = (user, change, list.number);
        let marks = self.marks.try_get_with(kept, ask).await;
        marks.unwrap_or_else(|unavailable| Arc::clone(&unavailable))
    }
}

impl SharedList {
    /// The page, or its list alone, with a user's marks.
    pub(crate) fn html(&self, part: Part, marks: &Marks) -> Result<Bytes, tera::Error> {
        let rendered = match part {
            Part::Page => &self.page,
            Part::List => &self.part,
        };
        let pieces = match rendered.get() {
            Some(pieces) => pieces,
            None => {
                let layout =
                    Layout::with_slots(Place::Films, LayoutSlots::new()).made_for(self.audience);
                let html = templates().films(&layout, &self.view, part)?;
                rendered.get_or_init(|| Pieces::cut(&html))
            }
        };
        Ok(pieces.filled(|slot| marks.get(slot)).into())
    }

    /// The same, compressed, for a visitor whose browser takes that.
    pub(crate) fn gzip(&self, part: Part, marks: &Marks) -> Result<Bytes, tera::Error> {
        let compressed = marks.compressed(part);
        if let Some(page) = compressed.get() {
            return Ok(page.clone());
        }
        let html = self.html(part, marks)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let page: Bytes = gzip
            .write_all(&html)
            .and_then(|()| gzip.finish())
            .expect("memory takes all that is written to it")
            .into();
        Ok(compressed.get_or_init(|| page).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::actors::catalog_gateway::Summary;

    fn key(page: i64) -> ListKey {
        ListKey {
            filter: Filter::default(),
            ignored: Vec::new(),
            page,
            audience: Audience::default(),
        }
    }

    fn made(total: i64) -> Result<(FilmsView, Vec<(FilmId, bool)>), PageError> {
        let view = FilmsView::new(
            &Summary::default(),
            &Filter::default(),
            Vec::new(),
            total,
            1,
            1,
        );
        Ok((view, Vec::new()))
    }

    #[actix_web::test]
    async fn a_list_is_made_once_until_films_change() {
        let (cache, freshness, begun) = (PageCache::default(), Freshness::default(), Cell::new(0));
        let get = async || {
            let make = async {
                begun.set(begun.get() + 1);
                tokio::task::yield_now().await;
                made(7)
            };
            cache.list(key(1), &freshness, make).await.unwrap()
        };
        let (first, second) = futures::join!(get(), get());
        assert_eq!(begun.get(), 1, "those who ask at once share it");
        assert!(Arc::ptr_eq(&first, &second));
        freshness.films_changed();
        let same = get().await;
        assert_eq!(begun.get(), 2);
        assert!(
            Arc::ptr_eq(&first, &same),
            "an equal list is not rendered again"
        );
    }

    #[actix_web::test]
    async fn who_asks_after_a_change_does_not_get_what_was_begun_before() {
        let (cache, freshness) = (PageCache::default(), Freshness::default());
        let (begin, begun) = tokio::sync::oneshot::channel();
        let old = cache.list(key(1), &freshness, async {
            begun.await.unwrap();
            made(1)
        });
        let new = async {
            freshness.films_changed();
            let new = cache.list(key(1), &freshness, async { made(2) });
            let new = tokio::time::timeout(Duration::from_secs(20), new).await;
            begin.send(()).unwrap();
            new.expect("it does not wait for what was begun before")
                .unwrap()
        };
        let (old, new) = futures::join!(old, new);
        assert_ne!(old.unwrap().view, new.view);
        let again = cache.list(key(1), &freshness, async { made(3) }).await;
        assert!(Arc::ptr_eq(&again.unwrap(), &new));
    }

    #[actix_web::test]
    async fn errors_are_not_kept() {
        let (cache, freshness) = (PageCache::default(), Freshness::default());
        let failing = async { Err(PageError::NoSuchPage) };
        let failed = cache.list(key(1), &freshness, failing).await;
        assert!(matches!(failed, Err(PageError::Shared(_))));
        let list = cache.list(key(1), &freshness, async { made(1) }).await;
        assert!(list.is_ok());
    }

    #[actix_web::test]
    async fn each_user_has_own_marks_until_they_change() {
        let (cache, freshness) = (PageCache::default(), Freshness::default());
        let list = cache
            .list(key(1), &freshness, async { made(1) })
            .await
            .unwrap();
        let get = async |user, total| {
            let ask = async { Ok(Arc::new(Marks::for_test(total))) };
            let marks = cache
                .marks(Some(UserId(user)), &list, &freshness, ask)
                .await;
            marks.counts.map(|counts| counts.total)
        };
        assert_eq!(get(1, 10).await, Some(10));
        assert_eq!(get(2, 20).await, Some(20));
        assert_eq!(get(1, 11).await, Some(10), "kept");
        freshness.user_changed(UserId(1));
        assert_eq!(get(1, 12).await, Some(12));
        assert_eq!(get(2, 22).await, Some(20));
    }
}
