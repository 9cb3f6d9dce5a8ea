//! From a film that is saved in the catalog to its flag: through the outbox, the matcher, the event bus and back.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use diesel::{
    OptionalExtension, QueryableByName, RunQueryDsl, SqliteConnection,
    sql_types::{BigInt, Text},
};
use tokio::task::JoinSet;

use super::{
    films::{self, Film},
    folder, keywords,
    program::{PATIENCE, Program},
    report,
    report::Spread,
};

const PREFERENCES: usize = 100_000;
const ONE_BY_ONE: usize = 1_000;
/// How many films a second are added, and for how long.
const RATE: u64 = 500;
const SECONDS: u64 = 20;
const CONNECTIONS: usize = 8;

pub(crate) async fn run() {
    let (name, films) = films::films();
    let keywords = keywords::twice_a_film(&films);
    let matched = keywords::matches(&keywords, &films);
    let films = films.into_iter().zip(matched);
    let films: Vec<Film> = films
        .filter(|(_, users)| *users > 0)
        .map(|(film, _)| film)
        .collect();
    let folder = folder::empty();
    folder::follow(folder.path(), &keywords, PREFERENCES).await;
    let program = Program::start(folder.path()).await;
    let (warm, cold) = films.split_at(ONE_BY_ONE / 5);
    one_by_one(&program, folder.path(), warm).await;
    let (calls, flags) = one_by_one(&program, folder.path(), &cold[..ONE_BY_ONE]).await;
    let what = format!("{name} film, {PREFERENCES} preferences, one at a time");
    report::row(
        &format!("{what}: `CreateMovie` called until answered"),
        &calls.text(),
    );
    report::row(&format!("{what}: answered until flagged"), &flags.text());

    let before = program.processor_time();
    let (rate, flags) = sustained(&program, folder.path(), Arc::new(films)).await;
    let taken = (program.processor_time() - before).as_secs_f64() * 1e3;
    let each = taken / (RATE * SECONDS) as f64;
    let what = format!("{name} films, {RATE} a second for {SECONDS} s");
    report::row(
        &format!("{what}: called until flagged"),
        &format!(
            "{rate:.0}/s flagged, {}, {each:.2} ms of processor time each",
            flags.text()
        ),
    );
    program.stop().await;
}

#[derive(QueryableByName)]
struct Flagged {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = Text)]
    id: String,
}

/// Saves each film when the one before has its flag. Looks into the database: no page and no call is quick enough.
async fn one_by_one(program: &Program, folder: &Path, films: &[Film]) -> (Spread, Spread) {
    let mut catalog = program.catalog().await;
    let database = &mut folder::open(folder, "movies");
    let (mut calls, mut flags) = (Vec::new(), Vec::new());
    for film in films {
        let movie = film.movie();
        let called = Instant::now();
        let id = catalog.create_movie(movie).await.unwrap().into_inner().id;
        let answered = Instant::now();
        let is_flagged = "SELECT rowid AS place, id FROM movies WHERE id = ? AND is_recommended";
        loop {
            let query = diesel::sql_query(is_flagged).bind::<Text, _>(&id);
            let found: Option<Flagged> = query.get_result(database).optional().unwrap();
            if found.is_some() {
                break;
            }
            assert!(answered.elapsed() < PATIENCE, "a film gets no flag");
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        calls.push(answered - called);
        flags.push(answered.elapsed());
    }
    (Spread::new(calls), Spread::new(flags))
}

type Pending = Arc<Mutex<BTreeMap<String, Instant>>>;

/// Saves films at a steady rate, whether or not those before have been answered.
async fn sustained(program: &Program, folder: &Path, films: Arc<Vec<Film>>) -> (f64, Spread) {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(program.catalog().await);
    }
    let pending = Pending::default();
    let count = usize::try_from(RATE * SECONDS).unwrap();
    let (database, seen) = (folder::open(folder, "movies"), pending.clone());
    let flagged = tokio::task::spawn_blocking(move || look_for_flags(database, &seen, count));
    let begun = tokio::time::Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..count {
        let due = begun + Duration::from_micros(1_000_000 / RATE) * u32::try_from(number).unwrap();
        tokio::time::sleep_until(due).await;
        let mut catalog = connections[number % CONNECTIONS].clone();
        let (movie, pending) = (films[number % films.len()].movie(), pending.clone());
        calls.spawn(async move {
            // Counted from when it was due: a program that holds callers up is not to look quicker for it.
            let movie = catalog.create_movie(movie).await.unwrap().into_inner();
            pending.lock().unwrap().insert(movie.id, due.into_std());
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    let times = flagged.await.unwrap();
    (
        count as f64 / begun.elapsed().as_secs_f64(),
        Spread::new(times),
    )
}

/// Notes when each of `count` films has its flag.
fn look_for_flags(
    mut database: SqliteConnection,
    pending: &Pending,
    count: usize,
) -> Vec<Duration> {
    let begun = Instant::now();
    let newest = "SELECT COALESCE(MAX(rowid), 0) AS place, '' AS id FROM movies";
    let mut below: i64 = diesel::sql_query(newest)
        .get_result(&mut database)
        .map(|newest: Flagged| newest.place)
        .unwrap();
    let mut seen: BTreeMap<i64, (String, Instant)> = BTreeMap::new();
    // Those whose time is known, as long as an earlier film's is not: they are not read again.
    let mut timed = BTreeSet::new();
    let mut times = Vec::new();
    while times.len() < count {
        assert!(begun.elapsed() < PATIENCE, "some films get no flags");
        let query = "SELECT rowid AS place, id FROM movies WHERE rowid > ? AND is_recommended";
        let flagged: Vec<Flagged> = diesel::sql_query(query)
            .bind::<BigInt, _>(below)
            .load(&mut database)
            .unwrap();
        let now = Instant::now();
        for film in flagged {
            if !timed.contains(&film.place) {
                seen.entry(film.place).or_insert((film.id, now));
            }
        }
        // A flag may be there before its film's call was answered here.
        let mut pending = pending.lock().unwrap();
        seen.retain(|place, (id, at)| match pending.remove(id) {
            Some(due) => {
                times.push(at.duration_since(due));
                timed.insert(*place);
                false
            }
            None => true,
        });
        drop(pending);
        while timed.remove(&(below + 1)) {
            below += 1;
        }
        pause();
    }
    times
}

#[expect(
    clippy::disallowed_methods,
    reason = "this thread is for looking and nothing else"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}
