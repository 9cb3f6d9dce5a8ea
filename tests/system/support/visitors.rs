//! People who use the pages all the time, whatever happens.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use proto::recommendations::ListMoviesRequest;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Browser, Film, System, eventually};

const VISITORS: usize = 3;
/// Fewer than the recommendations that one call can give.
const MOST_FILMS: usize = 300;
/// Every film has it, and another user follows it.
pub(crate) const KEYWORD: &str = "heist";
/// Who follows it: not the one at the browser, so that the pages' marks are the films' flags.
const FOLLOWER: i32 = 2;

/// Visitors who look at pages and add films. Every page has to come: an error page will do, silence
/// and a broken connection will not.
pub(crate) struct Visitors {
    leave: CancellationToken,
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
}

/// What came of their visits.
#[derive(Debug, Default)]
struct Seen {
    pages: usize,
    errors: usize,
    slowest: Duration,
    tried: usize,
    acknowledged: BTreeSet<String>,
}

impl Visitors {
    /// They arrive, and a user follows what all their films are about.
    pub(crate) async fn arrive(system: &System) -> Self {
        system.follow(FOLLOWER, KEYWORD).await;
        let visitors = Self {
            leave: CancellationToken::new(),
            seen: Arc::default(),
            tasks: JoinSet::new(),
        };
        visitors.come_again(system)
    }

    /// They arrive once more, after they had left.
    pub(crate) fn come_again(mut self, system: &System) -> Self {
        self.leave = CancellationToken::new();
        for visitor in 0..VISITORS {
            let visit = visit(
                system.browser_of(visitor),
                self.seen.clone(),
                self.leave.clone(),
            );
            self.tasks.spawn(visit);
        }
        self
    }

    /// Waits until they have seen so many more pages.
    pub(crate) async fn see(&self, more: usize) {
        let before = self.seen.lock().unwrap().pages;
        eventually("visitors to see further pages", async || {
            let seen = self.seen.lock().unwrap();
            (seen.pages >= before + more)
                .then_some(())
                .ok_or(format!("{seen:?}"))
        })
        .await;
    }

    /// How many error pages they have seen so far.
    pub(crate) fn errors(&self) -> usize {
        self.seen.lock().unwrap().errors
    }

    /// How many films of theirs were taken so far.
    pub(crate) fn taken(&self) -> usize {
        self.seen.lock().unwrap().acknowledged.len()
    }

    /// The longest that a visitor waited for a page since this was last asked.
    pub(crate) fn slowest(&self) -> Duration {
        std::mem::take(&mut self.seen.lock().unwrap().slowest)
    }

    /// They leave when they have seen the pages that they wait for.
    pub(crate) async fn leave(&mut self) {
        self.leave.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("every page came");
        }
    }

    /// A film of theirs that was taken, none later.
    pub(crate) fn newest(&self) -> String {
        let seen = self.seen.lock().unwrap();
        let number = |title: &&String| {
            title
                .rsplit(' ')
                .next()
                .and_then(|n| n.parse::<usize>().ok())
        };
        seen.acknowledged
            .iter()
            .max_by_key(number)
            .cloned()
            .expect("a film was taken")
    }

    /// They leave, and all is well.
    pub(crate) async fn leave_all_well(mut self, system: &System) {
        self.leave().await;
        self.all_is_well(system).await;
    }

    /// All is as it should be: each film that was taken is there, each film that is there is recommended, once, and is marked as
    /// recommended.
    pub(crate) async fn all_is_well(&self, system: &System) {
        let acknowledged = {
            let seen = self.seen.lock().unwrap();
            println!(
                "{} pages, {} of them errors; {} films taken of {}",
                seen.pages,
                seen.errors,
                seen.acknowledged.len(),
                seen.tried
            );
            seen.acknowledged.clone()
        };
        let (ids, titles) = stored(system).await;
        let lost: Vec<_> = acknowledged.difference(&titles).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        eventually("each film to be recommended, once", async || {
            let films = system.recommended_to(FOLLOWER).await?;
            let once: BTreeSet<_> = films.iter().map(|film| film.id.clone()).collect();
            assert_eq!(films.len(), once.len(), "recommended twice");
            (once == ids)
                .then_some(())
                .ok_or(format!("{} of {} films", once.len(), ids.len()))
        })
        .await;
        let browser = system.browser();
        eventually("each film to be marked", async || {
            let mut marks = BTreeSet::new();
            for page in 1.. {
                let wall = browser
                    .try_open(&format!("/?page={page}"))
                    .await?
                    .film_marks();
                let before = marks.len();
                marks.extend(wall);
                if marks.len() == before {
                    break;
                }
            }
            let expected = ids.iter().map(|id| (id.clone(), true)).collect();
            (marks == expected)
                .then_some(())
                .ok_or(format!("{} films: {marks:?}", ids.len()))
        })
        .await;
    }
}

async fn visit(browser: Browser, seen: Arc<Mutex<Seen>>, leave: CancellationToken) {
    while !leave.is_cancelled() {
        for path in ["/", "/preferences", "/recommendations", "/movie/new"] {
            let begun = Instant::now();
            let page = browser.open(path).await;
            note(&seen, begun, page.status.is_server_error());
            if path != "/movie/new" || !page.status.is_success() {
                continue;
            }
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.tried += 1;
                seen.tried
            };
            if number > MOST_FILMS {
                continue;
            }
            let title = format!("Heist number {number}");
            let film = Film {
                title: &title,
                genre: "Crime",
                ..Film::default()
            };
            let begun = Instant::now();
            let answer = browser.submit(&page, path, &film.fields()).await;
            note(&seen, begun, answer.status.is_server_error());
            // A visitor who is sent on to another page has been told that it is done.
            if answer.path != path {
                seen.lock().unwrap().acknowledged.insert(title);
            }
        }
        // The load is meant to be steady rather than all that the machine has.
        tokio::time::timeout(Duration::from_millis(250), leave.cancelled())
            .await
            .ok();
    }
}

fn note(seen: &Mutex<Seen>, begun: Instant, is_error: bool) {
    let mut seen = seen.lock().unwrap();
    seen.pages += 1;
    seen.errors += usize::from(is_error);
    seen.slowest = seen.slowest.max(begun.elapsed());
}

/// The ids and the titles of all films, none of them twice.
async fn stored(system: &System) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut ids, mut titles) = <(BTreeSet<String>, BTreeSet<String>)>::default();
    let mut catalog = system.catalog().await;
    for page in 1.. {
        let request = ListMoviesRequest {
            page,
            page_size: 100,
            ..Default::default()
        };
        let movies = catalog
            .list_movies(request)
            .await
            .unwrap()
            .into_inner()
            .movies;
        if movies.is_empty() {
            break;
        }
        for movie in movies {
            assert!(ids.insert(movie.id), "listed twice");
            assert!(titles.insert(movie.title), "there twice");
        }
    }
    (ids, titles)
}
