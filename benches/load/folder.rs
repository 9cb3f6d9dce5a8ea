//! Data folders, filled for a measurement.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection,
    sql_types::BigInt,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{films::Film, keywords, program::Program};

/// How many films are on their way to the catalog at once, over how many connections.
const CONNECTIONS: usize = 8;
const TOGETHER: usize = 16;
/// How many rows one statement inserts.
const ROWS: usize = 10_000;

/// Where data folders are: on the disk that the targets are on, unless `LOAD_DIR` says another.
pub(crate) fn place() -> PathBuf {
    let place = std::env::var_os("LOAD_DIR");
    place.map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

/// An empty data folder.
pub(crate) fn empty() -> TempDir {
    TempDir::with_prefix_in("load-", place()).unwrap()
}

/// A data folder whose catalog has `films`, of which recommendations has been told.
pub(crate) async fn with_films(name: &str, films: Vec<Film>) -> TempDir {
    let kept = place().join(format!("load-{name}-films"));
    if !kept.exists() {
        eprintln!("filling a catalog with {} films …", films.len());
        let folder = empty();
        fill(folder.path(), films).await;
        std::fs::rename(folder.keep(), &kept).unwrap();
    }
    let folder = empty();
    copy(&kept, folder.path());
    folder
}

async fn fill(folder: &Path, films: Vec<Film>) {
    let program = Program::start(folder).await;
    let begun = Instant::now();
    let films = Arc::new(films);
    let mut clients = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let catalog = program.catalog().await;
        for place in 0..TOGETHER {
            let (mut catalog, films) = (catalog.clone(), films.clone());
            let first = connection * TOGETHER + place;
            clients.spawn(async move {
                for film in films.iter().skip(first).step_by(CONNECTIONS * TOGETHER) {
                    catalog.create_movie(film.movie()).await.unwrap();
                }
            });
        }
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    let (count, added) = (films.len() as f64, begun.elapsed().as_secs_f64());
    until_delivered(folder).await;
    let delivered = begun.elapsed().as_secs_f64();
    eprintln!(
        "{count} films: added {:.0} a second, delivered {:.0} a second",
        count / added,
        count / delivered
    );
    program.stop().await;
}

/// Waits until recommendations has every film, and the catalog every flag that came of them.
pub(crate) async fn until_delivered(folder: &Path) {
    for (database, table) in [("movies", "movie_outbox"), ("recommendations", "outbox")] {
        while count(
            folder,
            database,
            &format!("SELECT COUNT(*) AS value FROM {table}"),
        ) > 0
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Lets users follow `keywords`, user 1 the first of them, and further users keywords that no film has, `total` in all.
/// Past the program, which does not run: a million calls would take minutes. What it would find to do besides storing
/// them, the recommendations, is none, for there are no films yet that match.
pub(crate) async fn follow(folder: &Path, keywords: &[String], total: usize) {
    Program::start(folder).await.stop().await;
    let mut database = open(folder, "recommendations");
    let mut users = (1..=total).map(|user| {
        let keyword = keywords.get(user - 1).cloned();
        let keyword = keyword.unwrap_or_else(|| keywords::unmet(user));
        format!("({user}, '{keyword}', '{keyword}', '2026-01-01 00:00:00')")
    });
    database.batch_execute("BEGIN").unwrap();
    loop {
        let rows: Vec<String> = users.by_ref().take(ROWS).collect();
        if rows.is_empty() {
            break;
        }
        let rows = rows.join(",");
        let insert =
            format!("INSERT INTO prefs (user_id, keyword, normal, created_at) VALUES {rows}");
        database.batch_execute(&insert).unwrap();
    }
    database
        .batch_execute("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
}

/// Opens one of the databases in a folder, beside the program.
pub(crate) fn open(folder: &Path, database: &str) -> SqliteConnection {
    let path: PathBuf = folder.join(format!("{database}.db"));
    let mut connection = SqliteConnection::establish(&path.to_string_lossy()).unwrap();
    connection
        .batch_execute("PRAGMA busy_timeout = 5000")
        .unwrap();
    connection
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

fn count(folder: &Path, database: &str, query: &str) -> i64 {
    let number: Number = diesel::sql_query(query)
        .get_result(&mut open(folder, database))
        .unwrap();
    number.value
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
