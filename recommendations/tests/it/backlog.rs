//! What the backlog worker says while it cannot work off the backlog: on `/system` always, in the log only if nothing else tells it.

use diesel::connection::SimpleConnection;
use recommendations::{store, system::Engine};
use runtime::{Process, Supervisor, supervision::Health};
use storage::{Database, testing::TestDatabase};
use testkit::Log;

use crate::support::{
    Replica, blocking, film, never_takes_over, on_every_database, small_steps, until,
};

/// The lines of the worker.
fn worker_lines(log: &Log) -> Vec<String> {
    let text = log.text();
    let lines = text.lines().filter(|line| line.contains("backlog-worker"));
    lines.map(str::to_owned).collect()
}

/// What the worker says of itself, and how many rounds it has begun.
fn worker(process: &Process) -> (Health, u64) {
    let actors = process.registry.actors().into_iter();
    let mut workers = actors.filter(|actor| actor.name == "backlog-worker");
    let worker = workers.next().expect("there is a backlog worker");
    (worker.health, worker.handled)
}

async fn until_hindered(process: &Process, reason: &str) {
    until(reason, async || {
        let health = worker(process).0;
        matches!(health, Health::Degraded(text) if text.contains(reason))
    })
    .await;
}

/// On a connection of its own: MySQL commits what it meets before it changes a table.
fn alter(database: &TestDatabase, statement: &'static str) {
    blocking(database, move |conn| conn.batch_execute(statement)).unwrap();
}

#[test]
fn why_the_backlog_waits_is_said_and_is_logged_once_unless_the_matcher_tells_it() {
    on_every_database("backlog_says", async |file| {
        let mut tuning = small_steps();
        tuning.lease = never_takes_over();
        let setup = Replica::start(&file, &tuning).await;
        setup.save(film("f1", "Train", 1)).await;
        setup
            .execute(
                "INSERT INTO backlog (film_id, position, refresh, created_at)
                    VALUES ('f1', '-2147483648', FALSE, '2026-01-01 00:00:00')",
            )
            .await;
        setup.execute("UPDATE leases SET holder = ''").await;
        setup.stop().await;

        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let _log = tracing::subscriber::set_default(subscriber.finish());
        // While there is only one subscriber, tracing turns a line off for all threads if a thread without it, such as the matcher's,
        // is the first to write the line.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        let process = Process::new();
        let supervisor = Supervisor::new("recommendations", &process);
        let group = supervisor.group("database");
        let (url, migrations) = (file.url(), store::migrations());
        let database = Database::open(&group, "db", "DATABASE_URL", url, migrations);
        let database = database.await.unwrap();

        // The matcher cannot read the preferences, and says so.
        alter(&file, "ALTER TABLE prefs RENAME TO kept_prefs");
        let _engine = Engine::start(&supervisor, &database, &small_steps(), "me".into()).await;
        until_hindered(&process, "the preferences are still being read").await;
        assert_eq!(worker_lines(&log), [""; 0]);

        // Nobody else looks at the backlog.
        alter(&file, "ALTER TABLE backlog RENAME TO kept_backlog");
        until_hindered(&process, "cannot work off the backlog: the query failed").await;
        let (_, rounds) = worker(&process);
        until("it has tried again", async || {
            worker(&process).1 >= rounds + 2
        })
        .await;
        let lines = worker_lines(&log);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("WARN"), "{lines:#?}");
        assert!(lines[0].contains("cannot work off the backlog"));

        alter(&file, "ALTER TABLE kept_backlog RENAME TO backlog");
        alter(&file, "ALTER TABLE kept_prefs RENAME TO prefs");
        until("it is back", async || {
            worker(&process).0 == Health::Ready && worker_lines(&log).len() == 2
        })
        .await;
        assert!(worker_lines(&log)[1].contains("backlog-worker is back"));
        supervisor.stop(std::time::Duration::from_secs(5)).await;
    });
}
