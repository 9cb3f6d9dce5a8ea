//! A database with one table, opened as a service opens it.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::System;
use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query,
    sql_types::BigInt,
};
use diesel_migrations::EmbeddedMigrations;
use runtime::{Fault, Process, Supervisor};
use storage::{
    Database, DatabaseUrl, DbConnection, Migrations,
    testing::{TestDatabase, databases},
};

/// How long anything may take to come true before a test calls it lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A database that is open as a service has it.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) test: Arc<TestDatabase>,
    pub(crate) process: Process,
    supervisor: Supervisor,
}

/// Runs `test` over every kind of database there is, each with an empty table `notes (id PRIMARY KEY, word)`.
pub(crate) fn over_each<F: Future<Output = ()>>(name: &str, test: impl Fn(Opened) -> F) {
    for database in databases(name) {
        in_system(async {
            eprintln!("{name} over {:?}", database.url());
            test(Opened::new(database).await).await;
        });
    }
}

/// Runs `test` over MySQL, if there is one, as [`over_each`] does.
pub(crate) fn over_mysql<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Opened) -> F) {
    if let Some(database) = TestDatabase::mysql(name) {
        in_system(async { test(Opened::new(database).await).await });
    }
}

pub(crate) fn in_system(test: impl Future<Output = ()>) {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    System::with_tokio_rt(runtime).block_on(test);
}

/// No steps at all.
pub(crate) fn no_migrations() -> Migrations {
    Migrations {
        sqlite: EmbeddedMigrations::new(&[]),
        mysql: EmbeddedMigrations::new(&[]),
        fill: None,
        needed_step: "",
    }
}

impl Opened {
    async fn new(test: TestDatabase) -> Self {
        outside(&test, |conn| {
            let table =
                "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word VARCHAR(255) NOT NULL)";
            conn.batch_execute(table).unwrap();
        });
        let process = Process::new();
        let supervisor = Supervisor::new("storage-test", &process);
        let database = open(&supervisor, test.url()).await.unwrap();
        Self {
            database,
            test: Arc::new(test),
            process,
            supervisor,
        }
    }

    /// Writes a note and waits until it is there for good.
    pub(crate) async fn note(&self, id: i64) -> Result<(), storage::Error> {
        self.database.write(move |conn| insert(conn, id)).await
    }

    /// How many notes a client sees that has nothing to do with our executors.
    pub(crate) fn notes_outside(&self) -> i64 {
        outside(&self.test, |conn| count(conn, "notes").unwrap())
    }

    /// Ends its actors, so that no connection is left when the database is dropped.
    pub(crate) async fn close(self) {
        drop(self.database);
        self.supervisor.stop(Duration::from_secs(5)).await;
    }
}

pub(crate) async fn open(supervisor: &Supervisor, url: &DatabaseUrl) -> Result<Database, Fault> {
    Database::open(
        &supervisor.group("storage"),
        "notes",
        "--database-url (DATABASE_URL)",
        url,
        no_migrations(),
    )
    .await
}

/// Works on a connection of its own. On a thread of its own too: the connection blocks.
pub(crate) fn outside<T: Send>(
    test: &TestDatabase,
    work: impl FnOnce(&mut DbConnection) -> T + Send,
) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| work(&mut test.connect().unwrap()))
            .join()
            .unwrap()
    })
}

pub(crate) fn insert(conn: &mut DbConnection, id: i64) -> QueryResult<()> {
    sql_query(format!(
        "INSERT INTO notes (id, word) VALUES ({id}, 'word')"
    ))
    .execute(conn)
    .map(drop)
}

pub(crate) fn count(conn: &mut DbConnection, from: &str) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        number: i64,
    }
    let count: Count =
        sql_query(format!("SELECT COUNT(*) AS number FROM {from}")).get_result(conn)?;
    Ok(count.number)
}

/// Asks again and again until there is an answer, at most [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "waited {PATIENCE:?} for {what}");
        // Until the next question.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
