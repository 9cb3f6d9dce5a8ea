//! Rows as messages of the wire, here and nowhere else.

use chrono::{NaiveDateTime, SecondsFormat};
use proto::accounts::{
    Account, AuditEntry, CredentialKind, Identity, Invitation, PersonalToken, Profile, Session,
    Visibility,
};

use crate::store::{audit, invitations, personal_tokens, sessions, users::User};

/// A time, RFC 3339 in UTC.
pub(crate) fn time(time: NaiveDateTime) -> String {
    time.and_utc().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A time that may not be there.
pub(crate) fn maybe_time(at: Option<NaiveDateTime>) -> String {
    at.map(time).unwrap_or_default()
}

fn visibility(user: &User) -> Visibility {
    Visibility {
        profile: user.shows_profile,
        about: user.shows_about,
        activity: user.shows_activity,
    }
}

/// All of an account.
pub(crate) fn account(user: &User, linked_providers: Vec<String>) -> Account {
    Account {
        id: user.id,
        username: user.username.clone(),
        email: user.email.clone(),
        is_email_confirmed: user.is_email_confirmed,
        pending_email: user.pending_email.clone(),
        role: user.role().into(),
        is_owner: user.is_owner(),
        is_disabled: user.is_disabled,
        about: user.about.clone(),
        favourite_genres: user.genres(),
        visibility: Some(visibility(user)),
        created_at: time(user.created_at),
        last_used_at: maybe_time(user.last_used_at),
        version: user.version,
        has_password: user.password_hash.is_some(),
        has_second_factor: user.second_factor.is_some(),
        linked_providers,
        picture_version: user.picture_version,
    }
}

/// What others see of a person, or all of it.
pub(crate) fn profile(user: &User, is_whole: bool) -> Profile {
    let shows_about = is_whole || user.shows_about;
    Profile {
        user_id: user.id,
        username: user.username.clone(),
        role: user.role().into(),
        about: match shows_about {
            true => user.about.clone(),
            false => String::new(),
        },
        favourite_genres: match shows_about {
            true => user.genres(),
            false => Vec::new(),
        },
        created_at: time(user.created_at),
        picture_version: user.picture_version,
        visibility: Some(visibility(user)),
        version: if is_whole { user.version } else { 0 },
    }
}

/// Whose a credential is.
pub(crate) fn identity(
    user: &User,
    credential: &str,
    kind: CredentialKind,
    ends: Option<NaiveDateTime>,
) -> Identity {
    Identity {
        user_id: user.id,
        username: user.username.clone(),
        role: user.role().into(),
        is_owner: user.is_owner(),
        credential_id: credential.to_owned(),
        kind: kind.into(),
        scopes: Vec::new(),
        expires_at: maybe_time(ends),
        picture_version: user.picture_version,
    }
}

/// A session, without its secret.
pub(crate) fn session(session: sessions::Session) -> Session {
    Session {
        id: session.id,
        is_of_pages: session.is_of_pages,
        created_at: time(session.created_at),
        last_used_at: time(session.last_used_at),
        expires_at: time(session.expires_at),
        address: session.address,
        agent: session.agent,
    }
}

/// A personal token, without its secret.
pub(crate) fn personal_token(token: personal_tokens::PersonalToken) -> PersonalToken {
    let scopes = personal_tokens::from_bits(token.scopes);
    PersonalToken {
        id: token.id,
        name: token.name,
        scopes: scopes.into_iter().map(Into::into).collect(),
        created_at: time(token.created_at),
        last_used_at: maybe_time(token.last_used_at),
        expires_at: maybe_time(token.expires_at),
        prefix: token.prefix,
    }
}

/// An invitation, without its code.
pub(crate) fn invitation(invitation: invitations::Invitation) -> Invitation {
    Invitation {
        id: invitation.id,
        role: invitation.role,
        email: invitation.email,
        invited_by: invitation.invited_by,
        created_at: time(invitation.created_at),
        expires_at: time(invitation.expires_at),
        used_by: invitation.used_by.unwrap_or_default(),
    }
}

/// An entry of the audit log.
pub(crate) fn audit_entry(entry: audit::Entry) -> AuditEntry {
    AuditEntry {
        number: entry.number,
        at: time(entry.at),
        actor_id: entry.actor_id,
        actor: entry.actor,
        subject_id: entry.subject_id,
        subject: entry.subject,
        action: entry.action,
        details: entry.details,
        address: entry.address,
        request_id: entry.request_id.unwrap_or_default(),
    }
}
