//! Which older releases can work with a database. A release that runs steps which only add leaves word of it, and one that does not know
//! those steps goes on: replicas of it may start again while they are replaced, and it may be put back.

use diesel::{
    OptionalExtension, QueryResult, RunQueryDsl, connection::SimpleConnection, sql_query,
    sql_types::Text,
};

use crate::{DatabaseUrl, DbConnection, Migrations, migrations::BoxedError, schema};

/// What the release that ran the last step has left.
#[derive(diesel::QueryableByName)]
struct Word {
    /// The version of that step.
    #[diesel(sql_type = Text)]
    last_step: String,
    /// The version of the step that a release has to know.
    #[diesel(sql_type = Text)]
    needed_step: String,
}

/// Why the database at `url` must not be used, and what to do, if this program does not know the last step that was run on it, and the release
/// of that step has not left word that programs like this one can go on.
pub(crate) fn obstacle(
    conn: &mut DbConnection,
    url: &DatabaseUrl,
    migrations: &Migrations,
) -> Result<Option<String>, BoxedError> {
    let (known, last) = schema::steps(conn, migrations)?;
    let Some(last) = last.filter(|last| !known.is_empty() && !known.contains(last)) else {
        return Ok(None);
    };
    let word = read(conn)?.filter(|word| word.last_step == last);
    match word {
        Some(word) if known.contains(&word.needed_step) => {
            let step = &last;
            tracing::info!(
                step,
                "a newer release has added to the database (step {step}), with which this one can go on"
            );
            Ok(None)
        }
        _ => Ok(Some(format!(
            "a newer release has changed the database {url} (step {last}): run that release, or restore a backup from before it"
        ))),
    }
}

/// Leaves word, after all steps, unless a newer release has done so.
pub(crate) fn tell(conn: &mut DbConnection, migrations: &Migrations) -> Result<(), BoxedError> {
    let (known, last) = schema::steps(conn, migrations)?;
    let Some(last) = last.filter(|last| known.contains(last)) else {
        return Ok(());
    };
    let needed = migrations.needed_step;
    debug_assert!(known.contains(needed), "{needed} is no step");
    let is_told = |word: Word| word.last_step == last && word.needed_step == needed;
    if !read(conn)?.is_some_and(is_told) {
        conn.batch_execute(&format!(
            "CREATE TABLE IF NOT EXISTS marquee_compatibility (\
                single INTEGER NOT NULL PRIMARY KEY, last_step VARCHAR(50) NOT NULL, needed_step VARCHAR(50) NOT NULL);
             REPLACE INTO marquee_compatibility VALUES (1, '{last}', '{needed}');"
        ))?;
    }
    Ok(())
}

fn read(conn: &mut DbConnection) -> QueryResult<Option<Word>> {
    if !schema::has_table(conn, "marquee_compatibility")? {
        return Ok(None);
    }
    sql_query("SELECT last_step, needed_step FROM marquee_compatibility")
        .get_result(conn)
        .optional()
}
