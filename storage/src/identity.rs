//! The identity of a database: a random id in the database and in its marker, which stands beside a SQLite
//! file, and in the data folder for a database on a server.
//!
//! A marker whose id the database does not have means that the database was lost or replaced. A
//! database without a marker, such as one of an older deployment, is adopted. A SQLite database that has
//! fewer commits than were acknowledged has lost its log ([`commits`]).

use diesel::{
    Connection, OptionalExtension, RunQueryDsl, SqliteConnection, connection::SimpleConnection,
    sql_query, sql_types::Text,
};

use crate::{
    DatabaseUrl, DbConnection,
    commits::{self, Acknowledged},
    connection::{Access, sqlite_address},
    marker::Marker,
    migrations::BoxedError,
    schema,
    sqlite_file::{Found, SqliteFile, look_again},
    sqlite_log,
};

/// Looks at the files, and whether the database is the one that the marker means. Returns its
/// identity if it has one.
///
/// # Errors
///
/// Why the database must not be opened, and what to do, in one sentence.
pub(crate) fn check(file: &SqliteFile) -> Result<(Found, Option<String>), String> {
    let found = file.check()?;
    let Found::Database(marker) = &found else {
        return Ok((found, None));
    };
    check_log_belongs(file)?;
    let identity = match open_notes(file) {
        None => {
            read(file, Access::Write)
                .map_err(|error| file.refuses(&error))?
                .0
        }
        Some(_) => look_again(|| check_commits(file))?,
    };
    match marker {
        Some(expected) if identity.as_ref() != Some(expected) => Err(format!(
            "the database `{}` is not the one that was here before, as `{}` says: restore that one from a backup, or delete `{}` to go \
             on with this one",
            file.path().display(),
            file.marker().path().display(),
            file.marker().path().display()
        )),
        _ => Ok((found, identity)),
    }
}

#[derive(diesel::QueryableByName)]
struct Identity {
    #[diesel(sql_type = Text)]
    id: String,
}

/// What was noted of a database that was not stopped cleanly.
fn open_notes(file: &SqliteFile) -> Option<Acknowledged> {
    file.commits().read().filter(|said| said.commits > 0)
}

/// Looks whether the log was begun after all that the main file has: SQLite would write the log of a newer database into an older
/// copy of it, and leave neither. What cannot be read is judged by others.
fn check_log_belongs(file: &SqliteFile) -> Result<(), String> {
    if file.log_is_empty()? || file.has_journal() {
        return Ok(());
    }
    let Ok((_, mut main)) = read(file, Access::ReadMainFile) else {
        return Ok(());
    };
    let Ok(Some(page)) = commits::page(&mut main) else {
        return Ok(());
    };
    let first = sqlite_log::first_of(&file.log(), page);
    let first = first.and_then(|page| commits::count_on_page(&page));
    // After the log: a program that has the database open may move that into the main file meanwhile, and never back.
    let count = commits::count(&mut main);
    match (first, count) {
        (Some(first), Ok(count)) if first > count + 1 => Err(format!(
            "the database `{name}` is older than its log `{log}`, which would destroy it: put the database back that was here, or              restore a backup {without}",
            name = file.path().display(),
            log = file.log().display(),
            without = file.without_its_files(),
        )),
        _ => Ok(()),
    }
}

/// Looks whether the database has every commit that was acknowledged. Returns its identity; changes nothing
/// on disk.
fn check_commits(file: &SqliteFile) -> Result<Option<String>, String> {
    // Before the database, which may go on meanwhile.
    let acknowledged = open_notes(file);
    let log_is_empty = file.log_is_empty()?;
    let access = match log_is_empty {
        // A journal means that another program has written without a log.
        _ if file.has_journal() => Access::Write,
        true => Access::ReadMainFile,
        false => Access::Read,
    };
    let refused = |error: BoxedError| file.refuses(&error);
    let (identity, mut conn) = read(file, access).map_err(refused)?;
    let Some(acknowledged) = acknowledged.filter(|said| Some(&said.identity) == identity.as_ref())
    else {
        return Ok(identity);
    };
    let commits = commits::count(&mut conn).map_err(|error| refused(error.into()))?;
    let (name, notes) = (file.path().display(), file.commits());
    let missing = acknowledged.commits - commits;
    if missing > 0 {
        return Err(format!(
            "the database `{name}` has lost the last {missing} of the commits that were acknowledged, as `{notes}` says: its log `{log}` {state}; \
             put the log back as it was, or delete `{notes}` to go on with what is left or with a backup",
            notes = notes.path().display(),
            log = file.log().display(),
            state = if log_is_empty {
                "is missing or empty"
            } else {
                "was cut off, or the database is an older copy"
            },
        ));
    }
    // Without its log it may have been left in the middle of moving the log into the main file.
    if log_is_empty && !is_whole(&mut conn).map_err(|error| refused(error.into()))? {
        return Err(file.refuses(&"its log is missing, and it is malformed without"));
    }
    Ok(identity)
}

fn is_whole(conn: &mut SqliteConnection) -> diesel::QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Finding {
        #[diesel(sql_type = Text)]
        integrity_check: String,
    }
    let found: Vec<Finding> = sql_query("PRAGMA integrity_check(1)").load(conn)?;
    Ok(found.iter().all(|finding| finding.integrity_check == "ok"))
}

/// Reads the identity on a connection that changes nothing else in the file.
fn read(
    file: &SqliteFile,
    access: Access,
) -> Result<(Option<String>, SqliteConnection), BoxedError> {
    let mut conn = SqliteConnection::establish(&sqlite_address(file.path(), access))?;
    conn.batch_execute("PRAGMA busy_timeout = 5000")?;
    let has_table = "SELECT name AS id FROM sqlite_schema WHERE name = 'marquee_identity'";
    let table: Option<Identity> = sql_query(has_table).get_result(&mut conn).optional()?;
    if table.is_none() {
        return Ok((None, conn));
    }
    let identity: Option<Identity> = sql_query("SELECT id FROM marquee_identity")
        .get_result(&mut conn)
        .optional()?;
    Ok((identity.map(|identity| identity.id), conn))
}

/// Gives the database an identity, on disk in its main file when this returns.
pub(crate) fn give(conn: &mut SqliteConnection) -> diesel::QueryResult<String> {
    let id = uuid::Uuid::new_v4().to_string();
    conn.batch_execute(&format!(
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS marquee_identity (id VARCHAR(36) NOT NULL PRIMARY KEY);
         DELETE FROM marquee_identity;
         INSERT INTO marquee_identity VALUES ('{id}');
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    Ok(id)
}

/// Whether the database on a server is the one that the marker means; returns its identity if it has one.
///
/// # Errors
///
/// Why it must not be used, and what to do, in one sentence.
pub(crate) fn check_server(
    conn: &mut DbConnection,
    url: &DatabaseUrl,
    marker: Option<&Marker>,
) -> Result<Option<String>, BoxedError> {
    let identity: Option<Identity> = match schema::has_table(conn, "marquee_identity")? {
        true => sql_query("SELECT id FROM marquee_identity")
            .get_result(conn)
            .optional()?,
        false => None,
    };
    let identity = identity.map(|identity| identity.id);
    if let Some(marker) = marker
        && let Some(expected) = marker.read().map_err(Refused)?
        && identity.as_ref() != Some(&expected)
    {
        let name = marker.path().display();
        return Err(Box::new(Refused(format!(
            "the database {url} is not the one that was here before, as `{name}` says: restore that one from a backup, or delete \
             `{name}` to go on with this one"
        ))));
    }
    Ok(identity)
}

/// The sentence why a database must not be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// Gives the database on a server an identity, and returns the one that it has then: of two replicas that do so at once, at two nodes of a
/// cluster, one is the first, because there can only be one row.
pub(crate) fn give_server(conn: &mut DbConnection) -> diesel::QueryResult<String> {
    let id = uuid::Uuid::new_v4().to_string();
    sql_query(
        "CREATE TABLE IF NOT EXISTS marquee_identity (\
            id VARCHAR(36) NOT NULL PRIMARY KEY, single TINYINT NOT NULL DEFAULT 1 UNIQUE)",
    )
    .execute(conn)?;
    sql_query(format!(
        "INSERT IGNORE INTO marquee_identity (id) VALUES ('{id}')"
    ))
    .execute(conn)?;
    let given: Identity = sql_query("SELECT id FROM marquee_identity").get_result(conn)?;
    Ok(given.id)
}
