//! PageCache of films that were made lately, and those that are being made.
//!
//! Nothing here has to be told when something changes: a wall is made anew for whoever asks, from
//! what the actors say then. Only two things are spared. Those who ask for the same wall while one is
//! being made wait for the next and share it, however many they are; and a wall that came out as it
//! was before is not rendered again.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::sync::oneshot;

use super::{
    page_error::PageError,
    templates::{Part, templates},
    views::{FilmsView, Layout, Place},
};
use proto::UserId;

/// How many pages are kept.
const KEPT: usize = 32;

/// Which wall is asked for, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) user: Option<UserId>,
    pub(super) genre: String,
    pub(super) page: i64,
    pub(super) part: Part,
}

/// A wall as it is shown to everybody who has nothing to be told beside it.
#[derive(Debug)]
pub(super) struct CachedPage {
    pub(super) view: FilmsView,
    /// How many films the user is recommended, if that is known.
    pub(super) recommended: Option<i32>,
    html: OnceLock<Bytes>,
    gzip: OnceLock<Bytes>,
}

/// Every wall is the same for all who share it, and so is what goes wrong.
type Made = Result<Arc<CachedPage>, Arc<PageError>>;

/// The page cache of all workers.
#[derive(Debug, Default)]
pub(crate) struct PageCache {
    kept: Mutex<HashMap<Question, Arc<CachedPage>>>,
    /// Who waits for each wall that is being made: for the next, since this one was begun before.
    waiting: Mutex<HashMap<Question, Vec<oneshot::Sender<Made>>>>,
}

impl CachedPage {
    pub(super) fn new(view: FilmsView, recommended: Option<i32>) -> Self {
        Self {
            view,
            recommended,
            html: OnceLock::new(),
            gzip: OnceLock::new(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.recommended == other.recommended && self.view == other.view
    }

    /// The page for a visitor who is not told anything beside it.
    pub(super) fn html(&self, part: Part) -> Result<Bytes, tera::Error> {
        if let Some(html) = self.html.get() {
            return Ok(html.clone());
        }
        let layout = Layout::new(Place::Films, self.recommended, None, String::new());
        let html = templates().films(&layout, &self.view, part)?;
        Ok(self.html.get_or_init(|| html.into()).clone())
    }

    /// The page, compressed, for a visitor whose browser takes that.
    pub(super) fn gzip(&self, html: &Bytes) -> Bytes {
        let compress = || {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(html)
                .and_then(|()| gzip.finish())
                .expect("memory takes all that is written to it")
                .into()
        };
        self.gzip.get_or_init(compress).clone()
    }
}

impl PageCache {
    /// The wall as `make` makes it, begun after this call.
    pub(super) async fn get<F>(
        self: Arc<Self>,
        question: Question,
        make: impl Fn() -> F + 'static,
    ) -> Result<Arc<CachedPage>, PageError>
    where
        F: Future<Output = Result<CachedPage, PageError>> + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut waiting = lock(&self.waiting);
            let is_first = !waiting.contains_key(&question);
            waiting.entry(question.clone()).or_default().push(answer);
            is_first
        };
        if is_first {
            // Of its own, since whoever asked may hang up while others wait.
            actix_web::rt::spawn(self.make(question, make));
        }
        match answered.await {
            Ok(made) => made.map_err(PageError::Shared),
            Err(_) => Err(PageError::Panicked),
        }
    }

    /// Makes the wall until nobody waits for it any more.
    async fn make<F>(self: Arc<Self>, question: Question, make: impl Fn() -> F)
    where
        F: Future<Output = Result<CachedPage, PageError>>,
    {
        let mut making = Making {
            page_cache: &self,
            question: &question,
            done: false,
        };
        while let Some(waiting) = making.take_waiting() {
            let made = match make().await {
                Ok(wall) => Ok(self.keep(&question, wall)),
                Err(error) => Err(Arc::new(error)),
            };
            for answer in waiting {
                // The visitor may have gone.
                let _ = answer.send(made.clone());
            }
        }
    }

    /// Keeps the wall; the one from before if it is the same.
    fn keep(&self, question: &Question, wall: CachedPage) -> Arc<CachedPage> {
        let mut kept = lock(&self.kept);
        if let Some(before) = kept.get(question).filter(|before| before.is_like(&wall)) {
            return before.clone();
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        let wall = Arc::new(wall);
        kept.insert(question.clone(), wall.clone());
        wall
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That a wall is being made. If that ends before it is done, nobody is left waiting.
struct Making<'a> {
    page_cache: &'a PageCache,
    question: &'a Question,
    done: bool,
}

impl Making<'_> {
    /// Those who wait now, if there are any.
    fn take_waiting(&mut self) -> Option<Vec<oneshot::Sender<Made>>> {
        let mut waiting = lock(&self.page_cache.waiting);
        let some = std::mem::take(waiting.get_mut(self.question)?);
        if some.is_empty() {
            // Under the same lock: who asks from here on is the first again.
            waiting.remove(self.question);
            self.done = true;
            return None;
        }
        Some(some)
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if !self.done {
            lock(&self.page_cache.waiting).remove(self.question);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc, time::Duration};

    use super::*;
    use crate::actors::catalog_gateway::Summary;

    fn question(page: i64) -> Question {
        Question {
            user: Some(UserId(1)),
            genre: String::new(),
            page,
            part: Part::Page,
        }
    }

    fn wall(total: i64) -> CachedPage {
        let view = FilmsView::new(&Summary::default(), "", Vec::new(), total, 1, 1);
        CachedPage::new(view, Some(0))
    }

    #[actix_web::test]
    async fn who_asks_while_a_wall_is_made_gets_one_begun_later_with_the_others() {
        let page_cache = Arc::new(PageCache::default());
        let begun = Rc::new(Cell::new(0));
        let ask = || {
            let counted = begun.clone();
            let make = move || {
                counted.set(counted.get() + 1);
                let number = counted.get();
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(wall(number))
                }
            };
            actix_web::rt::spawn(page_cache.clone().get(question(1), make))
        };
        let first = ask();
        while begun.get() == 0 {
            tokio::task::yield_now().await;
        }
        let others = [ask(), ask(), ask()];
        assert!(first.await.unwrap().unwrap().is_like(&wall(1)));
        for other in others {
            assert!(other.await.unwrap().unwrap().is_like(&wall(2)));
        }
        assert_eq!(begun.get(), 2);
        assert!(lock(&page_cache.waiting).is_empty());
    }

    #[actix_web::test]
    async fn a_wall_that_is_as_before_is_the_one_from_before() {
        let page_cache = Arc::new(PageCache::default());
        let get = async |total| {
            let wall = page_cache
                .clone()
                .get(question(1), move || async move { Ok(wall(total)) });
            wall.await.unwrap()
        };
        let first = get(1).await;
        assert!(Arc::ptr_eq(&first, &get(1).await));
        assert!(!Arc::ptr_eq(&first, &get(2).await));
    }

    #[actix_web::test]
    async fn errors_are_shared_and_a_panic_leaves_nobody_waiting() {
        let page_cache = Arc::new(PageCache::default());
        let failing = || async { Err(PageError::NoSuchPage) };
        let failed = page_cache.clone().get(question(1), failing).await;
        assert!(matches!(failed, Err(PageError::Shared(_))));
        let panicking = || async { panic!("a bug") };
        let panicked = page_cache.clone().get(question(1), panicking).await;
        assert!(matches!(panicked, Err(PageError::Panicked)));
        let mended = || async { Ok(wall(1)) };
        assert!(page_cache.clone().get(question(1), mended).await.is_ok());
    }

    #[actix_web::test]
    async fn no_more_walls_are_kept_than_may_be() {
        let page_cache = Arc::new(PageCache::default());
        for page in 0..2 * KEPT as i64 {
            let made = page_cache
                .clone()
                .get(question(page), || async { Ok(wall(1)) });
            made.await.unwrap();
        }
        assert!(lock(&page_cache.kept).len() <= KEPT);
    }
}
