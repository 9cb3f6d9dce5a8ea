//! What can be said of a database without changing anything in it, for an operator who asks what is wrong.

use std::{
    sync::{atomic::AtomicBool, mpsc},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use diesel::{
    Connection, OptionalExtension, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};

use crate::{
    DatabaseUrl, DbConnection, Migrations, compatibility,
    connection::{Access, sqlite_address},
    damage_check::{self, Checked},
    identity,
    migrations::BoxedError,
    sqlite_file::{Found, SqliteFile},
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Examined {
    /// There is no database yet; the first start makes it.
    Nothing {
        /// As of one that can be used.
        clock_ahead: i64,
    },
    /// It can be used.
    Usable {
        /// The last step that was run on it.
        newest_step: String,
        /// By how many seconds the clock of its server is ahead of this machine's; 0 for a file.
        clock_ahead: i64,
        /// What should be put right, and how.
        flaw: Option<String>,
    },
    /// It cannot be used: why, and what to do.
    Unusable(String),
}

/// Looks at a database: whether it is there, is the one that belongs here, has no damage and no step that `migrations` do not have.
/// Blocks: not for async code.
pub fn examine(url: &DatabaseUrl, migrations: Migrations) -> Examined {
    match url {
        DatabaseUrl::Sqlite(path) => examine_file(&SqliteFile::new(path), url, &migrations)
            .unwrap_or_else(Examined::Unusable),
        DatabaseUrl::Mysql(_) => {
            let (tell, told) = mpsc::channel();
            let asked = url.clone();
            // On a thread of its own: a server that does not answer is not waited for.
            thread::spawn(move || tell.send(examine_server(&asked, &migrations)));
            match told.recv_timeout(PATIENCE) {
                Ok(Ok(examined)) => examined,
                Ok(Err(error)) => {
                    Examined::Unusable(format!("the database {url} refuses: {error}"))
                }
                Err(_) => Examined::Unusable(format!(
                    "the database {url} does not answer within {} s",
                    PATIENCE.as_secs()
                )),
            }
        }
    }
}

fn examine_file(
    file: &SqliteFile,
    url: &DatabaseUrl,
    migrations: &Migrations,
) -> Result<Examined, String> {
    if identity::check(file)?.0 == Found::Nothing {
        return Ok(Examined::Nothing { clock_ahead: 0 });
    }
    let flaw = match damage_check::check(file.path(), &AtomicBool::new(false)) {
        Checked::Whole => None,
        Checked::Leaks(words) => Some(file.leaks(&words)),
        Checked::Damaged(words) | Checked::Failed(words) => return Err(file.refuses(&words)),
        Checked::Stopped => return Err(file.refuses(&"the check was stopped")),
    };
    let refused = |error: BoxedError| file.refuses(&error);
    let mut conn = SqliteConnection::establish(&sqlite_address(file.path(), Access::Read))
        .map_err(|error| refused(error.into()))?;
    conn.batch_execute("PRAGMA busy_timeout = 5000")
        .map_err(|error| refused(error.into()))?;
    let mut conn = DbConnection::Sqlite(conn);
    usable(&mut conn, url, migrations, 0, flaw).map_err(refused)
}

fn examine_server(url: &DatabaseUrl, migrations: &Migrations) -> Result<Examined, BoxedError> {
    #[derive(diesel::QueryableByName)]
    struct Clock {
        #[diesel(sql_type = BigInt)]
        seconds: i64,
    }
    let mut conn = DbConnection::open(url)?;
    let clock = "SELECT CAST(UNIX_TIMESTAMP() AS SIGNED) AS seconds";
    let clock: Clock = sql_query(clock).get_result(&mut conn)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let ahead = clock.seconds - i64::try_from(now.as_secs())?;
    usable(&mut conn, url, migrations, ahead, None)
}

fn usable(
    conn: &mut DbConnection,
    url: &DatabaseUrl,
    migrations: &Migrations,
    clock_ahead: i64,
    flaw: Option<String>,
) -> Result<Examined, BoxedError> {
    #[derive(diesel::QueryableByName)]
    struct Step {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let newest = "SELECT version FROM __diesel_schema_migrations ORDER BY version DESC LIMIT 1";
    let newest: Option<Step> = match sql_query(newest).get_result(conn).optional() {
        Ok(newest) => newest,
        // A database that no release has begun with.
        Err(_) => return Ok(Examined::Nothing { clock_ahead }),
    };
    if let Some(obstacle) = compatibility::obstacle(conn, url, migrations)? {
        return Ok(Examined::Unusable(obstacle));
    }
    Ok(Examined::Usable {
        newest_step: newest.map_or_else(|| "none".to_owned(), |step| step.version),
        clock_ahead,
        flaw,
    })
}
