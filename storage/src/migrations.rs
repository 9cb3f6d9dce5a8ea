//! The start of a database: its steps are run by one replica at a time, and what they added is filled.

use std::{fs::File, time::Duration};

use diesel::{
    ConnectionError, ConnectionResult, QueryResult, RunQueryDsl, sql_query, sql_types::Integer,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use runtime::{Backoff, Fault};

use crate::{DatabaseUrl, DbConnection};

/// How long to wait at the start for a database that does not answer.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// How long one step of a migration may take on a server.
const STEP_DEADLINE: Duration = Duration::from_secs(3_600);

/// A database's migrations, the same steps in both dialects.
pub struct Migrations {
    /// For SQLite.
    pub sqlite: EmbeddedMigrations,
    /// For MySQL.
    pub mysql: EmbeddedMigrations,
    /// Fills what the steps added and SQL alone cannot compute. It runs after them at each start,
    /// so it commits as it goes, goes on after a crash, and is quick when nothing is left to do.
    pub fill: Option<fn(&mut DbConnection) -> QueryResult<()>>,
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Brings the database up to date. Waits for a server that does not answer, and for other replicas
/// that do the same at this moment. Blocks.
pub(crate) fn migrate(
    setting: &str,
    url: &DatabaseUrl,
    migrations: Migrations,
) -> Result<(), Fault> {
    let mut conn = connect_patiently(setting, url)?;
    let outcome = match &mut conn {
        DbConnection::Sqlite(_) => run_alone(&mut conn, url, migrations),
        DbConnection::Mysql(server) => {
            server.allow_silence(STEP_DEADLINE);
            run_alone(&mut conn, url, migrations)
        }
    };
    outcome.map_err(|error| Fault::Failed(format!("cannot migrate the database {url}: {error}")))
}

/// Runs the steps while no other replica does.
fn run_alone(
    conn: &mut DbConnection,
    url: &DatabaseUrl,
    migrations: Migrations,
) -> Result<(), BoxedError> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let lock = File::create(path.with_extension("lock"))?;
            lock.lock()?;
            run(conn, migrations)?;
            lock.unlock()?;
        }
        DatabaseUrl::Mysql(_) => {
            take_lock(conn)?;
            let outcome = run(conn, migrations);
            sql_query(format!("DO RELEASE_LOCK({LOCK_NAME})")).execute(conn)?;
            outcome?;
        }
    }
    Ok(())
}

fn run(conn: &mut DbConnection, migrations: Migrations) -> Result<(), BoxedError> {
    match conn {
        DbConnection::Sqlite(conn) => drop(conn.run_pending_migrations(migrations.sqlite)?),
        DbConnection::Mysql(conn) => drop(conn.run_pending_migrations(migrations.mysql)?),
    }
    if let Some(fill) = migrations.fill {
        fill(conn)?;
    }
    Ok(())
}

/// The name of a lock has at most 64 characters, that of a database may have as many.
const LOCK_NAME: &str = "CONCAT('marquee-migrations-', SHA1(DATABASE()))";

fn take_lock(conn: &mut DbConnection) -> Result<(), BoxedError> {
    #[derive(diesel::QueryableByName)]
    struct Taken {
        #[diesel(sql_type = diesel::sql_types::Nullable<Integer>)]
        taken: Option<i32>,
    }
    let answer: Taken = sql_query(format!(
        "SELECT CAST(GET_LOCK({LOCK_NAME}, 120) AS SIGNED INTEGER) AS taken"
    ))
    .get_result(conn)?;
    if answer.taken != Some(1) {
        return Err("another replica has been migrating it for two minutes".into());
    }
    Ok(())
}

/// Connects; waits while the server does not answer, but not if it refuses.
fn connect_patiently(setting: &str, url: &DatabaseUrl) -> Result<DbConnection, Fault> {
    let until = std::time::Instant::now() + START_DEADLINE;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
    let mut said = false;
    loop {
        let error = match DbConnection::open(url) {
            Ok(conn) => return Ok(conn),
            Err(error) => error,
        };
        if let Some(reason) = refusal(url, &error) {
            return Err(Fault::bad_setting(setting, reason));
        }
        if std::time::Instant::now() > until {
            return Err(Fault::Failed(format!(
                "{setting}: the database {url} does not answer: {error}"
            )));
        }
        if !said {
            said = true;
            tracing::warn!(database = %url, %error, "waiting for the database {url}: {error}");
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "runs on a blocking thread before the service starts"
        )]
        std::thread::sleep(backoff.next_delay());
    }
}

/// Why no waiting helps, if none does: the file cannot be opened, or the server says no.
pub(crate) fn refusal(url: &DatabaseUrl, error: &ConnectionError) -> Option<String> {
    match (url, error) {
        // Another replica opens the same new file at this moment.
        (DatabaseUrl::Sqlite(_), ConnectionError::CouldntSetupConfiguration(error))
            if error.to_string().contains("database is locked") =>
        {
            None
        }
        (DatabaseUrl::Sqlite(path), error) => Some(format!(
            "cannot open the file `{}`: {error}",
            path.display()
        )),
        (DatabaseUrl::Mysql(_), ConnectionError::CouldntSetupConfiguration(error)) => {
            let text = error.to_string();
            // What a server says while it starts up, or when it is full, is not final.
            let passing = [
                "Too many connections",
                "shutdown in progress",
                "starting up",
            ];
            (!passing.iter().any(|p| text.contains(p)))
                .then(|| format!("the database {url} refuses: {text}"))
        }
        (DatabaseUrl::Mysql(_), ConnectionError::InvalidConnectionUrl(_)) => {
            Some(format!("the MySQL address {url} cannot be read"))
        }
        _ => None,
    }
}

/// Connects once, for tests that look at a database from outside.
pub(crate) fn connect(url: &DatabaseUrl) -> ConnectionResult<DbConnection> {
    DbConnection::open(url)
}
