//! Several replicas over one MySQL: how fast a film for many users is done and films are matched, and how long others wait meanwhile.
//!
//! `TEST_MYSQL_URL=… cargo bench -p recommendations --bench replicas`. All replicas, the clients and usually the server share the machine, so
//! that more replicas than processors show what coordination costs, not what more machines bring.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and ends when something fails"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query};
use futures::{StreamExt, future::join_all, stream};
use proto::{FilmId, UserId};
use recommendations::{
    matching::Keyword,
    store::{
        self, backlog,
        backlog::WaitingFilm,
        films::{self, FilmFacts},
        recommendations as rows,
        reconcile::{self, Limits, MatchedFilm, Seen, Terms},
        sequence, versions,
    },
    system::{Engine, Tuning},
};
use runtime::{Process, Supervisor};
use storage::{Database, DbConnection, testing::TestDatabase};

const USERS: i32 = 60_000;
const SMALL_FILMS: usize = 3_000;
const ROUNDS: usize = 3;

struct Replica {
    engine: Engine,
    database: Database,
    supervisor: Supervisor,
}

impl Replica {
    async fn start(database: &TestDatabase, shards: usize) -> Self {
        let process = Process::new();
        let supervisor = Supervisor::new("recommendations", &process);
        let group = supervisor.group("database");
        let (url, steps) = (database.url(), store::migrations());
        let open = Database::open(&group, "db", "DATABASE_URL", url, steps);
        let database = open.await.unwrap();
        let mut tuning = Tuning::default();
        tuning.limits.shards = shards;
        let me = uuid::Uuid::new_v4().to_string();
        let engine = Engine::start(&supervisor, &database, &tuning, me).await;
        let actors = || process.registry.actors();
        while actors().iter().any(|a| a.not_ready_reason().is_some()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            engine,
            database,
            supervisor,
        }
    }

    async fn stop(self) {
        self.engine.leave().await;
        self.supervisor.stop(Duration::from_secs(5)).await;
    }

    async fn is_done(&self) -> bool {
        let look = |conn: &mut _| {
            let waiting = backlog::films_after(conn, 0, 1)?;
            Ok(waiting.is_empty() && store::shards::all(conn, 1)?.is_empty())
        };
        self.database.read(look).await.unwrap()
    }
}

async fn replicas(database: &TestDatabase, count: usize) -> Vec<Replica> {
    let starts = (0..count).map(|_| Replica::start(database, Limits::default().shards));
    join_all(starts).await
}

async fn stop(replicas: Vec<Replica>) {
    for replica in replicas {
        replica.stop().await;
    }
}

/// A film for everybody.
fn popular() -> FilmFacts {
    FilmFacts {
        title: "The Train".into(),
        description: "A train leaves the station and does not arrive. ".repeat(8),
        ..FilmFacts::default()
    }
}

fn prepare(conn: &mut DbConnection) {
    let rows = |first: i32, last: i32, keyword: &dyn Fn(i32) -> String| {
        let rows: Vec<String> = (first..last)
            .map(|user| {
                let keyword = keyword(user);
                format!("({user}, '{keyword}', '{keyword}', '2026-01-01 00:00:00')")
            })
            .collect();
        format!(
            "INSERT INTO prefs (user_id, keyword, normal, created_at) VALUES {}",
            rows.join(",")
        )
    };
    for first in (0..USERS).step_by(5_000) {
        let insert = rows(first, first + 5_000, &|_| "train".into());
        conn.batch_execute(&insert).unwrap();
        // Twenty users for each of a few hundred other keywords.
        let insert = rows(first, first + 5_000, &|user| {
            format!("word{}", user % 3_000)
        });
        conn.batch_execute(&insert).unwrap();
    }
}

/// Inserts the rows of a film for everybody as they are inserted by a replica, and does nothing else: users a second.
async fn bare(replica: &Replica, film: &str) -> f64 {
    let film = films::Film {
        facts: popular(),
        ..films::Film::new(FilmId::stored(film))
    };
    let film = Arc::new(film);
    let begun = Instant::now();
    for first in (0..USERS).step_by(Limits::default().rows) {
        let film = film.clone();
        let insert = move |conn: &mut _| {
            let users: Vec<UserId> = (first..USERS)
                .map(UserId)
                .take(Limits::default().rows)
                .collect();
            rows::insert_missing(conn, &film, &users, versions::now())
        };
        replica.database.write_apart(insert).await.unwrap();
    }
    f64::from(USERS) / begun.elapsed().as_secs_f64()
}

/// Saves a film for everybody; returns users a second, until the last one has it.
async fn fan_out(replicas: &[Replica], film: &str) -> f64 {
    let first = replicas.first().unwrap();
    let begun = Instant::now();
    let (id, recommender) = (FilmId::stored(film), &first.engine.recommender);
    recommender.save_film(&id, popular(), None).await.unwrap();
    while !first.is_done().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    f64::from(USERS) / begun.elapsed().as_secs_f64()
}

/// Saves films for twenty users each, on all replicas; films a second.
async fn small_films(replicas: &[Replica], round: &str) -> f64 {
    let begun = Instant::now();
    let saves = (0..SMALL_FILMS).zip(replicas.iter().cycle());
    let saves = saves.map(|(number, replica)| async move {
        let facts = FilmFacts {
            title: format!("Film word{number}"),
            ..FilmFacts::default()
        };
        let id = FilmId::stored(&format!("{round}-{number}"));
        let save = replica.engine.recommender.save_film(&id, facts, None);
        save.await.unwrap();
    });
    stream::iter(saves)
        .buffer_unordered(64)
        .for_each(|()| async {})
        .await;
    SMALL_FILMS as f64 / begun.elapsed().as_secs_f64()
}

/// How long a new preference at another replica takes while one does shards: rows first as it does them, or with the lock of the order
/// taken before, as earlier releases did. Returns the median and the longest in milliseconds.
async fn waits(database: &TestDatabase, film: &str, number_first: bool) -> (f64, f64) {
    let works = Replica::start(database, 0).await;
    let follows = Replica::start(database, 0).await;
    let facts = Arc::new(popular());
    let matched = MatchedFilm {
        words: Arc::new(facts.words()),
        facts: Some(facts),
        seen: Seen {
            found: (0..USERS).map(UserId).collect(),
            watermark: works.database.read(sequence::current).await.unwrap(),
        },
    };
    let (id, recommender) = (FilmId::stored(film), &works.engine.recommender);
    recommender.save_film(&id, popular(), None).await.unwrap();
    let work = async {
        loop {
            let next = |conn: &mut _| backlog::films_after(conn, 0, 1);
            let Some(waiting) = works.database.read(next).await.unwrap().pop() else {
                return;
            };
            let (terms, last) = (terms(), last(&waiting));
            let take = move |conn: &mut _| {
                reconcile::take_shards(conn, &[(waiting.clone(), last)], "me", &terms)
            };
            let shard = works.database.write(take).await.unwrap().remove(0).unwrap();
            let matched = matched.clone();
            let settle = move |conn: &mut DbConnection| {
                if number_first {
                    sequence::take(conn, 1)?;
                }
                reconcile::settle_shard(conn, &shard, &matched, &terms)
            };
            works.database.write_apart(settle).await.unwrap();
        }
    };
    let follow = async {
        let mut took = Vec::new();
        for number in 0.. {
            let keyword = Keyword::parse(&format!("nothing{number}")).unwrap();
            let begun = Instant::now();
            // Not one of the film's users.
            let user = UserId(-1 - number);
            follows
                .engine
                .recommender
                .follow(user, &keyword)
                .await
                .unwrap();
            took.push(begun.elapsed().as_secs_f64() * 1_000.0);
            tokio::time::sleep(Duration::from_millis(10)).await;
            if works.is_done().await {
                break;
            }
        }
        took.sort_by(f64::total_cmp);
        took
    };
    let ((), took) = futures::join!(work, follow);
    works.stop().await;
    follows.stop().await;
    (
        took.get(took.len() / 2).copied().unwrap(),
        took.last().copied().unwrap(),
    )
}

fn terms() -> Terms {
    Terms {
        limits: Limits::default(),
        now: versions::now(),
    }
}

fn last(waiting: &WaitingFilm) -> UserId {
    let users: Vec<UserId> = (0..USERS).map(UserId).collect();
    reconcile::last_user(&users, waiting.from, None, &terms())
}

async fn run(database: TestDatabase) {
    {
        let setup = Replica::start(&database, 0).await;
        setup.stop().await;
    }
    outside(&database, prepare);
    println!(
        "{USERS} users of a film, in rounds; the bare rows are written by one connection in transactions as large"
    );
    for round in 0..ROUNDS {
        let one = replicas(&database, 1).await;
        let bare = bare(one.first().unwrap(), &format!("bare{round}")).await;
        stop(one).await;
        println!("bare rows: {bare:.0} users/s");
        for count in [1, 2, 4] {
            let some = replicas(&database, count).await;
            let rate = fan_out(&some, &format!("f{round}-{count}")).await;
            let films = small_films(&some, &format!("s{round}-{count}")).await;
            stop(some).await;
            println!(
                "{count} replicas: {rate:.0} users/s, {:.2} of the bare rows; {films:.0} films/s for 20 users each",
                rate / bare
            );
        }
        for (name, number_first) in [("number first", true), ("rows first", false)] {
            let (p50, max) =
                waits(&database, &format!("w{round}-{number_first}"), number_first).await;
            println!(
                "a preference at another replica meanwhile, {name}: p50 {p50:.1} ms, longest {max:.1} ms"
            );
        }
        outside(&database, forget);
    }
}

/// Makes the next round like the first.
fn forget(conn: &mut DbConnection) {
    for table in ["recommendations", "films", "changes", "outbox"] {
        sql_query(format!("DELETE FROM {table}"))
            .execute(conn)
            .unwrap();
    }
}

/// Does `work` with a connection of its own, on a thread that may block.
fn outside(database: &TestDatabase, work: fn(&mut DbConnection)) {
    std::thread::scope(|scope| {
        let done = scope.spawn(|| work(&mut database.connect().unwrap()));
        done.join().unwrap();
    });
}

fn main() {
    match TestDatabase::mysql("replicas") {
        Some(database) => actix::System::new().block_on(run(database)),
        None => println!("TEST_MYSQL_URL is not set"),
    }
}
