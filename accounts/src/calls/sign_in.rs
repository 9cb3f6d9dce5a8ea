//! Signing in by a password, and what begins with it: a session.

use std::net::{IpAddr, Ipv4Addr};

use chrono::NaiveDateTime;
use diesel::QueryResult;
use proto::{
    accounts::{CredentialKind, SignInRequest, SignedIn},
    text::fold,
};
use storage::DbConnection;
use uuid::Uuid;

use super::email::tell_of_device;
use crate::{
    access::Acting,
    actors::account_repository::{Call, Shared},
    error::{Error, refusals},
    fields::{self, Origin},
    passwords::Admission,
    store::{
        sequence,
        sessions::{self, Session},
        users::{self, User},
    },
    tokens::{
        Claims, SecretKind,
        access::VALIDITY,
        secrets::{self, hash},
    },
    wire,
};

/// The most bytes of a login that are looked at.
const MAX_LOGIN: usize = 4 * fields::MAX_EMAIL;

/// How many characters of a refresh token all tokens of a family have in common: the prefix, and 12 bytes of 32.
const FAMILY_LEN: usize = 20;

/// The hash of what a refresh token has in common with the others of its family.
pub(super) fn family_of(refresh_token: &str) -> Option<String> {
    refresh_token.get(..FAMILY_LEN).map(hash)
}

/// The next refresh token of the family.
pub(super) fn next_refresh_token(refresh_token: &str) -> Option<String> {
    let next = secrets::new(SecretKind::Refresh);
    let family = refresh_token.get(..FAMILY_LEN)?;
    Some(format!("{family}{}", next.get(FAMILY_LEN..)?))
}

/// A session that has begun, with its secret.
#[derive(Clone)]
pub(super) struct Begun {
    pub(super) user: User,
    pub(super) session: Session,
    pub(super) secret: String,
}

/// Begins a session, and stores that the person did something.
pub(super) fn begin_session(
    conn: &mut DbConnection,
    user: &mut User,
    origin: &Origin,
    is_of_pages: bool,
    is_remembered: bool,
    now: NaiveDateTime,
) -> QueryResult<Begun> {
    let secret = secrets::new(match is_of_pages {
        true => SecretKind::Session,
        false => SecretKind::Refresh,
    });
    let mut session = Session {
        id: Uuid::new_v4().to_string(),
        user_id: user.id,
        secret: hash(&secret),
        family: if is_of_pages {
            None
        } else {
            family_of(&secret)
        },
        is_of_pages,
        is_remembered,
        created_at: now,
        last_used_at: now,
        expires_at: now,
        address: origin.address.clone(),
        agent: origin.agent.clone(),
    };
    session.expires_at = session.end_after(now);
    sessions::insert(conn, &session)?;
    user.last_used_at = Some(now);
    users::save(conn, user)?;
    Ok(Begun {
        user: user.clone(),
        session,
        secret,
    })
}

/// The answer of a call that has begun or renewed a session.
pub(super) async fn signed_in(
    shared: &Shared,
    begun: Begun,
    now: NaiveDateTime,
) -> Result<SignedIn, Error> {
    let Begun {
        user,
        session,
        secret,
    } = begun;
    if session.is_of_pages {
        let kind = CredentialKind::Session;
        return Ok(SignedIn {
            identity: Some(wire::identity(
                &user,
                &session.id,
                kind,
                Some(session.expires_at),
            )),
            session: secret,
            ..SignedIn::default()
        });
    }
    let claims = Claims::new(
        user.id,
        session.id.clone(),
        Uuid::new_v4().to_string(),
        user.role().into(),
        None,
        now.and_utc(),
    );
    let kind = CredentialKind::AccessToken;
    Ok(SignedIn {
        identity: Some(wire::identity(
            &user,
            &session.id,
            kind,
            Some(now + VALIDITY),
        )),
        access_token: shared.keyring.sign(&claims, now).await?,
        refresh_token: secret,
        expires_in: i32::try_from(VALIDITY.num_seconds()).unwrap_or(i32::MAX),
        ..SignedIn::default()
    })
}

/// Counts a try to show who one is, and waits or refuses if there were too many.
pub(super) async fn count_try(
    shared: &Shared,
    account: &str,
    origin: &Origin,
    is_known_device: bool,
) -> Result<(), Error> {
    let ip = origin.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    match shared.tries.admit(account, ip, is_known_device) {
        Admission::Now => Ok(()),
        Admission::After(wait) => {
            tokio::time::sleep(wait).await;
            Ok(())
        }
        Admission::Refused(_) => Err(refusals::TOO_MANY_TRIES),
    }
}

impl Call for SignInRequest {
    type Answer = SignedIn;

    async fn perform(self, _: Acting, shared: Shared) -> Result<SignedIn, Error> {
        let now = sequence::now();
        let origin = fields::origin(self.client);
        let login: String = match self.login.len() > MAX_LOGIN {
            true => String::new(),
            false => self.login.trim().to_owned(),
        };
        let asked = login.clone();
        let find = move |conn: &mut DbConnection| Ok(users::by_login(conn, &asked)?);
        let found = shared.read(find).await?;
        let account = match &found {
            Some(user) => user.id.to_string(),
            None => fold(&login),
        };
        let id = found.as_ref().map(|user| user.id);
        let is_known_device = id.is_some() && origin.known_user == id;
        count_try(&shared, &account, &origin, is_known_device).await?;

        // It takes as long without an account.
        let stored = found.as_ref().and_then(|user| user.password_hash.clone());
        let compared = shared.hasher.compare(self.password, stored.clone()).await?;
        let user = found.filter(|_| compared.is_right);
        let user = user.ok_or(refusals::WRONG_CREDENTIALS)?;
        let code = self.second_factor.trim().to_owned();
        let (settings, for_pages, remember) =
            (shared.settings.clone(), self.for_pages, self.remember);
        let begin = move |conn: &mut DbConnection| {
            sequence::take(conn, now)?;
            let now_stored = users::find(conn, user.id())?;
            // The password may have been changed meanwhile.
            let is_same = |user: &User| user.password_hash == stored;
            let user = now_stored.filter(is_same);
            let mut user = user.ok_or(refusals::WRONG_CREDENTIALS)?;
            if user.is_disabled {
                return Err(refusals::ACCOUNT_DISABLED.into());
            }
            if settings.has_mail() && !user.is_email_confirmed {
                return Err(refusals::EMAIL_UNCONFIRMED.into());
            }
            super::second_factor::check(conn, &mut user, &code, now)?;
            if let Some(hash) = &compared.new_hash {
                user.password_hash = Some(hash.clone());
            }
            tell_of_device(conn, &settings, &user, &origin, now)?;
            Ok(begin_session(
                conn, &mut user, &origin, for_pages, remember, now,
            )?)
        };
        let begun = shared.write(begin).await?;
        signed_in(&shared, begun, now).await
    }
}
