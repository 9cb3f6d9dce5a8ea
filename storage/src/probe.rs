use std::{sync::mpsc, thread, time::Duration};

use runtime::Fault;

use crate::{DatabaseUrl, DbConnection, migrations::refusal};

/// How long a database may take to say no.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tries once whether the database lets us in, so that a wrong setting is told before anything is
/// started. A database that does not answer may come yet, and is no fault.
///
/// # Errors
///
/// [`Fault::BadSetting`] if the file cannot be opened or the server refuses us.
pub fn probe(setting: &str, url: &DatabaseUrl) -> Result<(), Fault> {
    let (tell, told) = mpsc::channel();
    let tried = url.clone();
    // On a thread of its own: the connection blocks, and must not be made inside async code.
    thread::spawn(move || tell.send(DbConnection::open(&tried).map(drop)));
    match told.recv_timeout(PATIENCE) {
        Ok(Err(error)) => match refusal(url, &error) {
            Some(reason) => Err(Fault::bad_setting(setting, reason)),
            None => Ok(()),
        },
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}
