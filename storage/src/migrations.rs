//! The start of a database: its steps are run by one replica at a time, and what they added is filled.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use diesel::{
    ConnectionError, ConnectionResult, QueryResult, RunQueryDsl,
    backend::Backend,
    migration::{Migration, MigrationSource},
    sql_query,
    sql_types::Integer,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use runtime::{Backoff, Fault};

use crate::{
    DatabaseUrl, DbConnection, commits, compatibility,
    identity::{self, Refused},
    marker::Marker,
    schema,
    sqlite_file::{Found, SqliteFile, is_damage},
};

/// How long to wait at the start for a database that does not answer.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// For how long replicas at several nodes of a cluster may be in each other's way.
const CLUSTER_DEADLINE: Duration = Duration::from_secs(60);

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
    /// The version of the last step that programs have to know: releases that do can work with the database as later steps leave it, because
    /// those only add.
    pub needed_step: &'static str,
}

pub(crate) type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Brings the database up to date. Waits for a server that does not answer, and for other replicas
/// that do the same at this moment. Blocks.
pub(crate) fn migrate(
    setting: &str,
    url: &DatabaseUrl,
    migrations: Migrations,
    folder: Option<&Path>,
) -> Result<(), Fault> {
    match url {
        DatabaseUrl::Sqlite(path) => migrate_file(setting, url, path, migrations),
        DatabaseUrl::Mysql(_) => migrate_server(setting, url, migrations, folder),
    }
}

/// Looks at the files before SQLite does, and leaves a marked database of this user alone.
fn migrate_file(
    setting: &str,
    url: &DatabaseUrl,
    path: &Path,
    migrations: Migrations,
) -> Result<(), Fault> {
    let file = SqliteFile::new(path);
    let refused = |reason: String| Fault::bad_setting(setting, reason);
    let unusable = |error: std::io::Error| refused(file.refuses(&error));
    let lock = file.lock_file().map_err(unusable)?;
    lock.lock().map_err(unusable)?;
    let (found, identity) = identity::check(&file).map_err(refused)?;
    if found == Found::Nothing {
        file.commits().remove().map_err(unusable)?;
        file.create().map_err(unusable)?;
    }
    file.keep_private().map_err(unusable)?;
    let mut conn = connect_patiently(setting, url)?;
    let failed = |error: BoxedError| match is_damage(&error.to_string()) {
        true => refused(file.refuses(&error)),
        false => cannot_migrate(url, &error),
    };
    run(setting, url, &mut conn, &migrations, failed)?;
    if let DbConnection::Sqlite(conn) = &mut conn {
        schema::read_tables(conn).map_err(|error| failed(error.into()))?;
        let identity = match identity {
            Some(identity) => identity,
            None => identity::give(conn).map_err(|error| failed(error.into()))?,
        };
        if !matches!(found, Found::Database(Some(_))) {
            file.marker().write(&identity).map_err(unusable)?;
        }
        commits::make_table(conn).map_err(|error| failed(error.into()))?;
        let notes = file.commits();
        if let Err(error) = notes.begin(&identity) {
            // The database serves without it, and only a lost log would not be noticed.
            let name = notes.path().display();
            tracing::warn!(%error, "acknowledged commits cannot be noted in `{name}`: {error}");
        }
        if let Some(notes) = notes.open() {
            notes.move_log(conn).map_err(|error| failed(error.into()))?;
        }
    }
    file.keep_private().map_err(unusable)?;
    lock.unlock().map_err(unusable)
}

/// Looks whether the database is the one that the marker in `folder` means, and leaves it marked.
fn migrate_server(
    setting: &str,
    url: &DatabaseUrl,
    migrations: Migrations,
    folder: Option<&Path>,
) -> Result<(), Fault> {
    let until = Instant::now() + CLUSTER_DEADLINE;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        let mut conn = connect_patiently(setting, url)?;
        match migrate_once(setting, url, &mut conn, &migrations, folder) {
            // The lock is that of one node: a replica at another node may have run the same step at this moment. A step that
            // finds its work done is as good as one that does it.
            Err(Fault::Failed(reason)) if Instant::now() < until && conn.is_clustered() => {
                tracing::info!(%reason, "migrating the database {url} again, as another replica may do it too: {reason}");
                #[expect(
                    clippy::disallowed_methods,
                    reason = "runs on a blocking thread before the service starts"
                )]
                std::thread::sleep(backoff.next_delay());
            }
            outcome => return outcome,
        }
    }
}

fn migrate_once(
    setting: &str,
    url: &DatabaseUrl,
    conn: &mut DbConnection,
    migrations: &Migrations,
    folder: Option<&Path>,
) -> Result<(), Fault> {
    if let DbConnection::Mysql(server) = conn {
        server.allow_silence(STEP_DEADLINE);
    }
    let failed = |error: BoxedError| match error.downcast_ref::<Refused>() {
        Some(refused) => Fault::bad_setting(setting, refused),
        None => cannot_migrate(url, &error),
    };
    take_lock(conn).map_err(failed)?;
    let marker = folder.map(|folder| Marker::new(folder.join(server_marker(url))));
    let identity = identity::check_server(conn, url, marker.as_ref()).map_err(failed)?;
    let outcome = run(setting, url, conn, migrations, failed);
    if outcome.is_ok() {
        let identity = match identity {
            Some(identity) => identity,
            None => identity::give_server(conn).map_err(|error| failed(error.into()))?,
        };
        if let Some(marker) = marker
            && let Err(error) = marker.write(&identity)
        {
            // Beside a server, a file system that cannot be written to will do.
            let name = marker.path().display();
            tracing::debug!(%error, "the marker `{name}` cannot be written: {error}");
        }
    }
    sql_query(format!("DO RELEASE_LOCK({LOCK_NAME})"))
        .execute(conn)
        .map_err(|error| failed(error.into()))?;
    outcome
}

/// The name of the marker of a database on a server, by its address: another address is another database.
fn server_marker(url: &DatabaseUrl) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let address = url.to_string().replace("://", "-");
    format!("{}.id", address.chars().map(plain).collect::<String>())
}

fn cannot_migrate(url: &DatabaseUrl, error: &BoxedError) -> Fault {
    Fault::Failed(format!("cannot migrate the database {url}: {error}"))
}

/// Runs the steps and what fills their columns, if the database is one that this program knows.
fn run(
    setting: &str,
    url: &DatabaseUrl,
    conn: &mut DbConnection,
    migrations: &Migrations,
    failed: impl Fn(BoxedError) -> Fault,
) -> Result<(), Fault> {
    if let Some(obstacle) = compatibility::obstacle(conn, url, migrations).map_err(&failed)? {
        return Err(Fault::bad_setting(setting, obstacle));
    }
    let applied = match conn {
        DbConnection::Sqlite(conn) => Steps(&migrations.sqlite).run_on(conn),
        DbConnection::Mysql(conn) => Steps(&migrations.mysql).run_on(conn),
    };
    applied.map_err(&failed)?;
    if let Some(missing) = schema::missing(conn, &migrations.sqlite).map_err(&failed)? {
        return Err(Fault::bad_setting(
            setting,
            format!("the database {url} has {missing}, or restore a backup"),
        ));
    }
    if let Some(fill) = migrations.fill {
        fill(conn).map_err(|error| failed(error.into()))?;
    }
    compatibility::tell(conn, migrations).map_err(failed)
}

/// Embedded steps that are needed again afterwards.
pub(crate) struct Steps<'a>(pub(crate) &'a EmbeddedMigrations);

impl Steps<'_> {
    fn run_on<DB: Backend>(self, conn: &mut impl MigrationHarness<DB>) -> Result<(), BoxedError> {
        conn.run_pending_migrations(self).map(drop)
    }
}

impl<DB: Backend> MigrationSource<DB> for Steps<'_> {
    fn migrations(&self) -> Result<Vec<Box<dyn Migration<DB>>>, BoxedError> {
        self.0.migrations()
    }
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
    let until = Instant::now() + START_DEADLINE;
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
        if Instant::now() > until {
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
        (DatabaseUrl::Sqlite(path), error) => Some(SqliteFile::new(path).refuses(error)),
        (DatabaseUrl::Mysql(_), ConnectionError::CouldntSetupConfiguration(error)) => {
            let text = error.to_string();
            // What a server says while it starts up, or when it is full, is not final.
            let passing = [
                "Too many connections",
                "shutdown in progress",
                "starting up",
                // A node of a Galera cluster that is no part of its majority, or is given the data.
                "WSREP has not yet prepared node",
                "try restarting transaction",
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
    DbConnection::open_or_create(url)
}
