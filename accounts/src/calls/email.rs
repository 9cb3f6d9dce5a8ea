//! E-mail addresses: how one is changed and confirmed.

use chrono::NaiveDateTime;
use proto::text::fold;
use storage::DbConnection;

use crate::{config::AccountsSettings, error::Stop, store::users::User};

/// Gives a person another address: at once if there is no mail, otherwise once it is confirmed.
pub(super) fn change(
    _conn: &mut DbConnection,
    settings: &AccountsSettings,
    user: &mut User,
    email: &str,
    _now: NaiveDateTime,
) -> Result<(), Stop> {
    if settings.has_mail() {
        user.pending_email = email.to_owned();
        return Ok(());
    }
    user.email = email.to_owned();
    user.email_key = fold(email);
    user.pending_email = String::new();
    Ok(())
}
