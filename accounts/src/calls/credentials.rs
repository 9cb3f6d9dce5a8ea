//! Credentials: whose they are, and how they are renewed.

use chrono::{DateTime, NaiveDateTime, SubsecRound};
use proto::{
    UserId,
    accounts::{
        AuthenticateRequest, CredentialKind, GetSigningKeysRequest, Identity, RefreshRequest,
        ReportUseRequest, ReportUseResponse, SignedIn, SigningKeys, Use,
    },
};
use storage::DbConnection;

use super::sign_in::{Begun, family_of, next_refresh_token, signed_in};
use crate::{
    access::{Acting, For, admit},
    actors::account_repository::{Call, Shared},
    error::{Error, Stop, refusals},
    fields,
    store::{
        changes, personal_tokens, sequence,
        sessions::{self, Session},
        users::{self, User},
    },
    tokens::{
        CredentialShape, SecretKind,
        secrets::{hash, kind_of},
    },
    wire,
};

/// How many uses are reported at once.
const MAX_USES: usize = 1_000;

impl Call for AuthenticateRequest {
    type Answer = Identity;

    async fn perform(self, _: Acting, shared: Shared) -> Result<Identity, Error> {
        let now = sequence::now();
        match kind_of(&self.credential) {
            Some(CredentialShape::Secret(SecretKind::Session)) => {
                let secret = hash(&self.credential);
                let read = move |conn: &mut DbConnection| {
                    let session = sessions::by_secret(conn, &secret)?;
                    let (user, session) = user_of_session(conn, session, now)?;
                    let ends = Some(session.expires_at);
                    let kind = CredentialKind::Session;
                    Ok(wire::identity(&user, &session.id, kind, ends))
                };
                shared.read(read).await
            }
            Some(CredentialShape::Secret(SecretKind::Personal)) => {
                let secret = hash(&self.credential);
                let read = move |conn: &mut DbConnection| {
                    let token = personal_tokens::by_secret(conn, &secret)?;
                    let lasts = |ends: Option<NaiveDateTime>| ends.is_none_or(|ends| ends > now);
                    let token = token.filter(|token| lasts(token.expires_at));
                    let token = token.ok_or(refusals::WRONG_TOKEN)?;
                    let user = who_may_sign_in(conn, token.user_id)?;
                    let scopes = personal_tokens::from_bits(token.scopes);
                    let kind = CredentialKind::PersonalToken;
                    Ok(Identity {
                        scopes: scopes.into_iter().map(Into::into).collect(),
                        ..wire::identity(&user, &token.id, kind, token.expires_at)
                    })
                };
                shared.read(read).await
            }
            Some(CredentialShape::AccessToken) => {
                let claims = shared.keyring.verify(&self.credential, now).await?;
                let claims = claims.ok_or(refusals::WRONG_TOKEN)?;
                let ends = DateTime::from_timestamp(claims.exp, 0).map(|ends| ends.naive_utc());
                let read = move |conn: &mut DbConnection| {
                    let session = sessions::by_id(conn, &claims.sid)?;
                    let of_user = |session: &Session| Some(session.user_id) == claims.user_id();
                    let session = session.filter(of_user);
                    let (user, session) = user_of_session(conn, session, now)?;
                    let kind = CredentialKind::AccessToken;
                    Ok(Identity {
                        scopes: claims.scope.unwrap_or_default(),
                        ..wire::identity(&user, &session.id, kind, ends)
                    })
                };
                shared.read(read).await
            }
            // A refresh token is for its one call alone.
            Some(CredentialShape::Secret(SecretKind::Refresh)) | None => Err(refusals::WRONG_TOKEN),
        }
    }
}

/// The person of that id, unless barred.
fn who_may_sign_in(conn: &mut DbConnection, user: i32) -> Result<User, Stop> {
    let user = users::find(conn, UserId(user))?.filter(|user| !user.is_disabled);
    Ok(user.ok_or(refusals::WRONG_TOKEN)?)
}

fn user_of_session(
    conn: &mut DbConnection,
    session: Option<Session>,
    now: NaiveDateTime,
) -> Result<(User, Session), Stop> {
    let session = session.filter(|session| session.expires_at > now);
    let session = session.ok_or(refusals::WRONG_TOKEN)?;
    let user = who_may_sign_in(conn, session.user_id)?;
    Ok((user, session))
}

impl Call for RefreshRequest {
    type Answer = SignedIn;

    async fn perform(self, _: Acting, shared: Shared) -> Result<SignedIn, Error> {
        let now = sequence::now();
        let token = self.refresh_token;
        let is_one = kind_of(&token) == Some(CredentialShape::Secret(SecretKind::Refresh));
        let family = family_of(&token).filter(|_| is_one);
        let (Some(family), Some(next)) = (family, next_refresh_token(&token)) else {
            return Err(refusals::WRONG_TOKEN);
        };
        let origin = fields::origin(self.client);
        let refresh = move |conn: &mut DbConnection| {
            let number = sequence::take(conn, now)?;
            let session = sessions::by_family(conn, &family)?;
            let session = session.ok_or(refusals::WRONG_TOKEN)?;
            if session.secret != hash(&token) {
                // Only who had a token of the family knows what all of them begin with: this one was used before, by whomever.
                let user = UserId(session.user_id);
                sessions::end(conn, user, &session.id)?;
                changes::record(conn, number, user, now)?;
                tracing::warn!(
                    user = user.0,
                    "a refresh token was used twice: its session is ended"
                );
                return Err(refusals::TOKEN_REUSED.into());
            }
            let (mut user, mut session) = user_of_session(conn, Some(session), now)?;
            session.secret = hash(&next);
            session.last_used_at = now;
            session.expires_at = session.end_after(now);
            if !origin.address.is_empty() {
                session.address.clone_from(&origin.address);
                session.agent.clone_from(&origin.agent);
            }
            sessions::save(conn, &session)?;
            user.last_used_at = Some(now);
            users::save(conn, &user)?;
            Ok(Begun {
                user,
                session,
                secret: next.clone(),
            })
        };
        let begun = shared.write(refresh).await?;
        signed_in(&shared, begun, now).await
    }
}

impl Call for GetSigningKeysRequest {
    type Answer = SigningKeys;

    async fn perform(self, _: Acting, shared: Shared) -> Result<SigningKeys, Error> {
        let jwks = shared.keyring.jwks(sequence::now()).await?;
        Ok(SigningKeys { jwks })
    }
}

impl Call for ReportUseRequest {
    type Answer = ReportUseResponse;

    async fn perform(self, acting: Acting, shared: Shared) -> Result<ReportUseResponse, Error> {
        if self.uses.len() > MAX_USES {
            return Err(Error::Invalid(format!("report at most {MAX_USES} uses")));
        }
        let now = sequence::now();
        let report = move |conn: &mut DbConnection| {
            admit(conn, acting, For::Services)?;
            sequence::take(conn, now)?;
            for used in &self.uses {
                store_use(conn, used, now)?;
            }
            Ok(ReportUseResponse {})
        };
        shared.write(report).await
    }
}

/// Stores a use of a session or a personal token, unless a later one is known.
fn store_use(conn: &mut DbConnection, used: &Use, now: NaiveDateTime) -> Result<(), Stop> {
    // A clock that is ahead must not keep a session for longer.
    let at = DateTime::parse_from_rfc3339(&used.at).map(|at| at.naive_utc());
    let at = at.map_or(now, |at| at.min(now)).trunc_subsecs(6);
    let user = match sessions::by_id(conn, &used.credential_id)? {
        Some(mut session) if session.last_used_at < at => {
            session.last_used_at = at;
            if session.is_of_pages {
                session.expires_at = session.end_after(at);
            }
            if let Ok(address) = used.address.parse::<std::net::IpAddr>() {
                session.address = address.to_string();
            }
            sessions::save(conn, &session)?;
            Some(session.user_id)
        }
        Some(_) => None,
        None => personal_tokens::touch(conn, &used.credential_id, at)?,
    };
    if let Some(user) = user {
        users::touch(conn, &[user], at)?;
    }
    Ok(())
}
