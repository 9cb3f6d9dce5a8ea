//! The matcher as an actor: what it reads, and what it is told.

use actix::{Context, Handler, Message};
use runtime::{Place, Process, Supervisor};
use storage::testing::TestDatabase;

use super::*;
use crate::store;

const PATIENCE: Duration = Duration::from_secs(5);

/// Has a build fail, and then looks for changes.
#[derive(Message)]
#[rtype(result = "bool")]
struct FailToBuild;

impl Handler<FailToBuild> for Matcher {
    type Result = bool;

    /// Whether the look was put off.
    fn handle(&mut self, _: FailToBuild, context: &mut Context<Self>) -> bool {
        self.reading = true;
        Self::take_over(Err(storage::Error::Panicked), self, context);
        self.asked_again = false;
        self.catch_up(context);
        self.asked_again
    }
}

/// A matcher over an empty database, that has built its index.
async fn matcher(
    file: &TestDatabase,
    supervisor: &Supervisor,
) -> (Database, runtime::Handle<Matcher>) {
    let group = supervisor.group("database");
    let migrations = store::migrations();
    let database = Database::open(&group, "db", "DATABASE_URL", file.url(), migrations)
        .await
        .unwrap();
    let known = database.clone();
    let matching = supervisor.group("matching");
    let figures = MatcherFigures::new(matching.metrics());
    let matcher = matching.supervise("matcher", Place::Here, move |guard| {
        Matcher::new(guard, known.clone(), figures.clone())
    });
    eventually(async || count(&matcher, "train").await.is_some()).await;
    (database, matcher)
}

async fn count(matcher: &runtime::Handle<Matcher>, keyword: &str) -> Option<usize> {
    let keywords = vec![Keyword::parse(keyword).unwrap()];
    let counts = matcher.ask(CountFilms(keywords), PATIENCE).await;
    counts.ok()?.ok()?.first().copied()
}

async fn eventually(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            // Until the next question.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// Films called "Train", of which the first has the number after `after`.
fn saved(after: i64, ids: &[&str]) -> FilmsSaved {
    let facts = store::films::FilmFacts {
        title: "Train".into(),
        ..Default::default()
    };
    let films: Vec<_> = (after + 1..)
        .zip(ids)
        .map(|(seq, id)| (seq, id.parse().unwrap(), Arc::new(facts.words())))
        .collect();
    FilmsSaved {
        after,
        through: after + films.len() as i64,
        films,
    }
}

#[test]
fn films_that_follow_on_each_other_need_not_be_read() {
    actix::System::new().block_on(async {
        let file = TestDatabase::sqlite("matcher_saved");
        let supervisor = Supervisor::new("test", &Process::new());
        let (database, matcher) = matcher(&file, &supervisor).await;
        let start = database.read(sequence::current).await.unwrap();
        // The database does not have them: what the matcher knows, it was told.
        matcher.tell(saved(start, &["a", "b"])).unwrap();
        matcher.tell(saved(start + 2, &["c"])).unwrap();
        eventually(async || count(&matcher, "train").await == Some(3)).await;
        supervisor.stop(PATIENCE).await;
    });
}

#[test]
fn films_after_a_gap_wait_until_the_gap_was_read() {
    actix::System::new().block_on(async {
        let file = TestDatabase::sqlite("matcher_gap");
        let supervisor = Supervisor::new("test", &Process::new());
        let (database, matcher) = matcher(&file, &supervisor).await;
        let start = database.read(sequence::current).await.unwrap();
        matcher.tell(saved(start + 1, &["b"])).unwrap();
        assert_eq!(count(&matcher, "train").await, Some(0));
        // What another replica committed in between changed no film.
        let commit = |conn: &mut _| sequence::take(conn, 1);
        database.write(commit).await.unwrap();
        eventually(async || count(&matcher, "train").await == Some(1)).await;
        supervisor.stop(PATIENCE).await;
    });
}

#[test]
fn nothing_else_is_read_until_a_failed_build_is_tried_again() {
    actix::System::new().block_on(async {
        let file = TestDatabase::sqlite("matcher");
        let supervisor = Supervisor::new("test", &Process::new());
        let (_, matcher) = matcher(&file, &supervisor).await;
        assert!(matcher.ask(FailToBuild, PATIENCE).await.unwrap());
        supervisor.stop(PATIENCE).await;
    });
}
