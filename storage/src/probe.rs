//! One look at a database before anything is started, so that a wrong setting is told at once.

use std::{sync::mpsc, thread, time::Duration};

use runtime::Fault;

use crate::{
    DatabaseUrl, DbConnection, identity,
    migrations::refusal,
    sqlite_file::{Found, SqliteFile},
};

/// How long a database may take to refuse.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tries once whether the database can be opened. A server that does not answer may come yet, and
/// is no fault.
///
/// # Errors
///
/// [`Fault::BadSetting`] if the file cannot be opened or is not the database that it should be, or if
/// the server refuses us.
pub fn probe(setting: &str, url: &DatabaseUrl) -> Result<(), Fault> {
    let refused = |reason: String| Fault::bad_setting(setting, reason);
    if let DatabaseUrl::Sqlite(path) = url {
        let file = SqliteFile::new(path);
        return match identity::check(&file).map_err(refused)?.0 {
            Found::Database(_) => Ok(()),
            Found::Nothing => file.create().map_err(|error| refused(file.refuses(&error))),
        };
    }
    let (tell, told) = mpsc::channel();
    let tried = url.clone();
    // On a thread of its own: the connection blocks, and must not be made inside async code.
    thread::spawn(move || tell.send(DbConnection::open(&tried).map(drop)));
    match told.recv_timeout(PATIENCE) {
        Ok(Err(error)) => refusal(url, &error).map_or(Ok(()), |reason| Err(refused(reason))),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}
