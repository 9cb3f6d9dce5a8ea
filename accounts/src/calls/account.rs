//! A person's own account: what it says, its password, and its end.

use proto::{
    UserId,
    accounts::{
        Account, DeleteAccountRequest, DeleteAccountResponse, ExportAccountRequest,
        ExportAccountResponse, GetAccountRequest, UpdateAccountRequest,
    },
    text::fold,
};
use serde_json::{Value, json};
use storage::DbConnection;

use super::{entrance::refuse_taken, person, sign_in::count_try};
use crate::{
    access::{Acting, For, admit},
    actors::account_repository::{Call, Shared},
    error::{Error, Stop, refusals},
    fields::{self, Findings},
    store::{
        audit::{self, Entry},
        changes, identities, outbox, personal_tokens, sequence, sessions,
        users::{self, User},
    },
    wire,
};

/// How many entries of the audit log an export has at most.
const EXPORTED_ENTRIES: i64 = 10_000;

/// All of an account, as the wire has it.
pub(super) fn whole(conn: &mut DbConnection, user: &User) -> Result<Account, Stop> {
    let providers = identities::providers_of(conn, user.id())?;
    Ok(wire::account(user, providers))
}

/// Compares the present password of a person with the one that was asked for again. An account without one, whose owner signs in
/// elsewhere, needs none.
pub(super) async fn ask_again(shared: &Shared, user: &User, password: String) -> Result<(), Error> {
    if user.password_hash.is_none() {
        return Ok(());
    }
    // The person has signed in on this device.
    count_try(shared, &user.id.to_string(), &fields::origin(None), true).await?;
    let hash = user.password_hash.clone();
    match shared.hasher.compare(password, hash).await?.is_right {
        true => Ok(()),
        false => Err(refusals::WRONG_PASSWORD),
    }
}

impl Call for GetAccountRequest {
    type Answer = Account;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<Account, Error> {
        let user = UserId(self.user_id);
        let read = move |conn: &mut DbConnection| {
            admit(conn, acting, For::PersonOrAdmins(user))?;
            let user = person(conn, user)?;
            whole(conn, &user)
        };
        shared.read(read).await
    }
}

impl Call for UpdateAccountRequest {
    type Answer = Account;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<Account, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        let mut findings = Findings::default();
        let username = self.username.as_deref().map(fields::username);
        let username = username.and_then(|checked| findings.check("username", checked));
        let about = self.about.as_deref().map(fields::about);
        let about = about.and_then(|checked| findings.check("about", checked));
        let genres = self.favourite_genres.as_ref();
        let genres = genres.map(|genres| fields::genres(&genres.genres));
        let genres = genres.and_then(|checked| findings.check("favourite_genres", checked));
        let email = self.email.as_deref().map(fields::email);
        let email = email.and_then(|checked| findings.check("email", checked));

        let read = move |conn: &mut DbConnection| {
            admit(conn, acting, For::Person(id))?;
            person(conn, id)
        };
        let before = shared.read(read).await?;
        let is_guarded = self.email.is_some() || self.new_password.is_some();
        if is_guarded {
            ask_again(&shared, &before, self.password).await?;
        }
        let mut hashed = None;
        if let Some(password) = self.new_password {
            let (name, address) = (&before.username, &before.email);
            let new = shared.hasher.hash_new(password, name, address).await?;
            hashed = findings.check("new_password", new);
        }
        findings.end()?;

        let (settings, visibility) = (shared.settings.clone(), self.visibility);
        let (expected, kept) = (self.expected_version, self.keep_session);
        let update = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::Person(id))?;
            let mut user = person(conn, id)?;
            if expected.is_some_and(|expected| expected != user.version) {
                return Err(refusals::VERSION_DIFFERS.into());
            }
            // The password that was compared has to be the one of now.
            if is_guarded && user.password_hash != before.password_hash {
                return Err(refusals::WRONG_PASSWORD.into());
            }
            let mut changed = Vec::new();
            if let Some(username) = &username {
                user.username.clone_from(username);
                user.username_key = fold(username);
                changed.push("username");
            }
            if let Some(about) = &about {
                user.about.clone_from(about);
                changed.push("about");
            }
            if let Some(genres) = &genres {
                user.favourite_genres = json!(genres).to_string();
                changed.push("favourite_genres");
            }
            if let Some(visibility) = &visibility {
                user.shows_profile = visibility.profile;
                user.shows_about = visibility.about;
                user.shows_activity = visibility.activity;
                changed.push("visibility");
            }
            if let Some(hash) = &hashed {
                user.password_hash = Some(hash.clone());
                sessions::end_all_but(conn, id, &kept)?;
                changed.push("password");
            }
            if let Some(email) = &email {
                let taken = users::by_email(conn, email)?;
                if taken.is_some_and(|other| other.id != user.id) {
                    return Err(refusals::EMAIL_TAKEN.into());
                }
                super::email::change(conn, &settings, &mut user, email, now)?;
                changed.push("email");
            }
            refuse_taken(conn, &user)?;
            user.version += 1;
            users::save(conn, &user)?;
            changes::record(conn, number, id, now)?;
            let entry = Entry::of(&actor, (number, now), "account.updated", &user);
            audit::record(conn, &entry.with(&json!({ "changed": changed })))?;
            whole(conn, &user)
        };
        shared.write(update).await
    }
}

impl Call for DeleteAccountRequest {
    type Answer = DeleteAccountResponse;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<DeleteAccountResponse, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        let read = move |conn: &mut DbConnection| {
            admit(conn, acting, For::PersonOrAdmins(id))?;
            person(conn, id)
        };
        let before = shared.read(read).await?;
        if before.is_owner() {
            return Err(refusals::IS_OWNER);
        }
        let is_own = acting.user().is_none_or(|user| user == id);
        if is_own {
            ask_again(&shared, &before, self.password).await?;
        }
        let delete = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let actor = admit(conn, acting, For::PersonOrAdmins(id))?;
            let user = person(conn, id)?;
            if is_own && user.password_hash != before.password_hash {
                return Err(refusals::WRONG_PASSWORD.into());
            }
            let entry = Entry::of(&actor, (number, now), "account.deleted", &user);
            audit::record(conn, &entry)?;
            users::delete(conn, &user)?;
            outbox::put_deletion(conn, number, id, now)?;
            changes::record(conn, number, id, now)?;
            Ok(DeleteAccountResponse {})
        };
        shared.write(delete).await
    }
}

impl Call for ExportAccountRequest {
    type Answer = ExportAccountResponse;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<ExportAccountResponse, Error> {
        let (now, id) = (sequence::now(), UserId(self.user_id));
        let read = move |conn: &mut DbConnection| {
            admit(conn, acting, For::PersonOrAdmins(id))?;
            let user = person(conn, id)?;
            let sessions = sessions::of_user(conn, id, now)?;
            let tokens = personal_tokens::of_user(conn, id)?;
            let entries = audit::before(conn, 0, Some(id.0), EXPORTED_ENTRIES)?;
            let providers = identities::providers_of(conn, id)?;
            let json = json!({
                "account": account_json(&user, &providers),
                "sessions": sessions.into_iter().map(session_json).collect::<Vec<_>>(),
                "personal_tokens": tokens.into_iter().map(token_json).collect::<Vec<_>>(),
                "audit": entries.into_iter().map(entry_json).collect::<Vec<_>>(),
            });
            Ok(ExportAccountResponse {
                json: json.to_string(),
            })
        };
        shared.read(read).await
    }
}

fn account_json(user: &User, providers: &[String]) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "is_email_confirmed": user.is_email_confirmed,
        "pending_email": user.pending_email,
        "role": user.role().as_str_name(),
        "about": user.about,
        "favourite_genres": user.genres(),
        "visibility": {
            "profile": user.shows_profile,
            "about": user.shows_about,
            "activity": user.shows_activity,
        },
        "has_second_factor": user.second_factor.is_some(),
        "linked_providers": providers,
        "created_at": wire::time(user.created_at),
        "last_used_at": wire::maybe_time(user.last_used_at),
    })
}

fn session_json(session: sessions::Session) -> Value {
    json!({
        "id": session.id,
        "is_of_pages": session.is_of_pages,
        "created_at": wire::time(session.created_at),
        "last_used_at": wire::time(session.last_used_at),
        "expires_at": wire::time(session.expires_at),
        "address": session.address,
        "agent": session.agent,
    })
}

fn token_json(token: personal_tokens::PersonalToken) -> Value {
    let scopes = personal_tokens::from_bits(token.scopes);
    json!({
        "id": token.id,
        "name": token.name,
        "prefix": token.prefix,
        "scopes": scopes.iter().map(|scope| scope.as_str_name()).collect::<Vec<_>>(),
        "created_at": wire::time(token.created_at),
        "last_used_at": wire::maybe_time(token.last_used_at),
        "expires_at": wire::maybe_time(token.expires_at),
    })
}

fn entry_json(entry: audit::Entry) -> Value {
    json!({
        "number": entry.number,
        "at": wire::time(entry.at),
        "actor_id": entry.actor_id,
        "subject_id": entry.subject_id,
        "action": entry.action,
        "details": serde_json::from_str::<Value>(&entry.details).unwrap_or_default(),
    })
}
