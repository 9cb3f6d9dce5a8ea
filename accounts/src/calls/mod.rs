//! What each call of the service does. The repository performs them; nothing here knows how a call arrived.

mod account;
mod admin;
mod credentials;
mod email;
mod entrance;
mod invitations;
mod personal_tokens;
mod profiles;
mod provider_sign_in;
mod second_factor;
mod sessions;
mod sign_in;

use proto::UserId;
use storage::DbConnection;

use crate::{
    access::Actor,
    error::{Stop, refusals},
    store::{
        audit::Entry,
        users::{self, User},
    },
};

/// The person of that id.
fn person(conn: &mut DbConnection, user: UserId) -> Result<User, Stop> {
    Ok(users::find(conn, user)?.ok_or(refusals::NO_ACCOUNT)?)
}

impl Entry {
    /// The entry of what `actor` did to that person.
    fn of(
        actor: &Actor,
        (number, at): (i64, chrono::NaiveDateTime),
        action: &str,
        subject: &User,
    ) -> Self {
        Self {
            subject_id: subject.id,
            subject: subject.username.clone(),
            ..Self::new(number, at, action, (actor.id, &actor.name))
        }
    }

    fn with(self, details: &serde_json::Value) -> Self {
        Self {
            details: details.to_string(),
            ..self
        }
    }

    fn at_address(self, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            ..self
        }
    }
}
