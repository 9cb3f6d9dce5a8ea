use std::{fs::File, path::Path, time::Duration};

use diesel::{
    ConnectionError, ConnectionResult, RunQueryDsl, SqliteConnection, sql_query, sql_types::Integer,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use runtime::{Backoff, Fault};

use crate::{DatabaseUrl, DbConnection, PureMysqlConnection};

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
}

/// Brings the database up to date, waiting for it if it is away, and for other replicas that do
/// the same at this moment. Blocks.
pub(crate) fn migrate(
    setting: &str,
    url: &DatabaseUrl,
    migrations: Migrations,
) -> Result<(), Fault> {
    let conn = connect_patiently(setting, url)?;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Fault::Failed(format!("cannot migrate the database {url}: {error}"))
    };
    match (conn, url) {
        (DbConnection::Sqlite(mut conn), DatabaseUrl::Sqlite(path)) => {
            migrate_sqlite(&mut conn, path, migrations.sqlite).map_err(failed)
        }
        (DbConnection::Mysql(mut conn), _) => {
            migrate_mysql(&mut conn, migrations.mysql).map_err(failed)
        }
        (DbConnection::Sqlite(_), DatabaseUrl::Mysql(_)) => Err(Fault::Failed(
            "a MySQL address gave a SQLite connection".into(),
        )),
    }
}

fn migrate_sqlite(
    conn: &mut SqliteConnection,
    path: &Path,
    migrations: EmbeddedMigrations,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let lock = File::create(path.with_extension("lock"))?;
    lock.lock()?;
    conn.run_pending_migrations(migrations)?;
    lock.unlock()?;
    Ok(())
}

fn migrate_mysql(
    conn: &mut PureMysqlConnection,
    migrations: EmbeddedMigrations,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    #[derive(diesel::QueryableByName)]
    struct Taken {
        #[diesel(sql_type = diesel::sql_types::Nullable<Integer>)]
        taken: Option<i32>,
    }
    conn.allow_silence(STEP_DEADLINE);
    // The name of a lock has at most 64 characters, that of a database may have as many.
    let lock = "CONCAT('marquee-migrations-', SHA1(DATABASE()))";
    let answer: Taken = sql_query(format!(
        "SELECT CAST(GET_LOCK({lock}, 120) AS SIGNED INTEGER) AS taken"
    ))
    .get_result(conn)?;
    if answer.taken != Some(1) {
        return Err("another replica has been migrating it for two minutes".into());
    }
    let outcome = conn.run_pending_migrations(migrations).map(drop);
    sql_query(format!("DO RELEASE_LOCK({lock})")).execute(conn)?;
    outcome
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
