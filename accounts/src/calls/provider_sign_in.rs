//! Signing in at an identity provider, and linking who somebody is there to an account. An account is never found by an e-mail address alone:
//! whoever runs the provider could be anybody then. A person who has a second factor is asked for it after the provider, too.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use proto::{
    UserId,
    accounts::{
        BeginProviderSignInRequest, BeginProviderSignInResponse, EndProviderSignInRequest, SignedIn,
    },
    reasons::{SECOND_FACTOR_NEEDED, WRONG_SECOND_FACTOR},
};
use serde_json::json;
use storage::DbConnection;
use subtle::ConstantTimeEq;

use super::{
    email::tell_of_device,
    entrance::{Ticket, add},
    person,
    second_factor::check,
    sign_in::{Begun as BegunSession, begin_session, count_try, signed_in},
};
use crate::{
    access::{Acting, Actor, For, admit},
    actors::account_repository::{Call, Shared},
    config::PROVIDER_ID,
    error::{Continuation, Error, Refusal, Stop, refusals},
    fields::{self, Origin},
    providers::{Provider, ProviderError, ProviderIdentity},
    store::{
        audit::{self, Entry},
        identities::{self, Begun, Unfinished},
        sequence,
        users::{self, User},
    },
    tokens::secrets::hash,
};

/// How long a person may take at the provider.
const LASTS: TimeDelta = TimeDelta::minutes(10);

/// How long a person may take after that to find a code of the second factor.
const GOES_ON_FOR: TimeDelta = TimeDelta::minutes(5);

/// The most bytes of a path, an address and a state.
const MAX_PATH: usize = 2_048;
const MAX_STATE: usize = 256;

/// How many names are tried for a person whose name is taken.
const NAMES: u32 = 50;

fn provider(shared: &Shared, id: &str) -> Result<Arc<Provider>, Error> {
    let provider = shared.provider.clone().filter(|_| id == PROVIDER_ID);
    provider.ok_or(Error::NotFound("there is no such identity provider"))
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Unavailable(_) => Self::Unavailable(Box::new(error)),
            ProviderError::Refused(reason) => {
                tracing::info!("a sign-in at the identity provider is refused: {reason}");
                refusals::WRONG_CREDENTIALS
            }
            ProviderError::BadRequest(reason) => Self::Invalid(reason.to_owned()),
        }
    }
}

/// A path of ours: a browser that is sent there stays here.
fn own_path(path: &str) -> Result<String, Error> {
    let is_own = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && !path.contains(char::is_control);
    match path.len() <= MAX_PATH && (path.is_empty() || is_own) {
        true => Ok(path.to_owned()),
        false => Err(Error::field(
            "return_to",
            "use a path that begins with one `/`",
        )),
    }
}

impl Call for BeginProviderSignInRequest {
    type Answer = BeginProviderSignInResponse;

    async fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> Result<BeginProviderSignInResponse, Error> {
        let now = sequence::now();
        let provider = provider(&shared, &self.provider)?;
        let return_to = own_path(&self.return_to)?;
        if self.redirect_uri.len() > MAX_PATH || self.invitation.len() > MAX_STATE / 2 {
            return Err(Error::Invalid(
                "the address or the invitation is too long".to_owned(),
            ));
        }
        if let Some(user) = self.link_to {
            let may = move |conn: &mut DbConnection| admit(conn, acting, For::Person(UserId(user)));
            shared.read(may).await?;
        }
        let begun = provider.begin(&self.redirect_uri).await?;
        let row = Begun {
            state: hash(&begun.state),
            provider: PROVIDER_ID.to_owned(),
            nonce: begun.nonce,
            verifier: begun.pkce_verifier,
            return_to,
            link_to: self.link_to,
            invitation: self.invitation,
            redirect_uri: self.redirect_uri,
            expires_at: now + LASTS,
        };
        let store = move |conn: &mut DbConnection| Ok(identities::begin(conn, &row)?);
        shared.write(store).await?;
        Ok(BeginProviderSignInResponse {
            url: begun.url,
            state: begun.state,
        })
    }
}

/// What comes of signing in at the provider.
enum Ended {
    /// A session.
    Session(Box<BegunSession>),
    /// It goes on by this secret.
    GoesOn(String),
}

impl Call for EndProviderSignInRequest {
    type Answer = SignedIn;

    async fn perform(mut self, _: Acting, shared: Shared) -> Result<SignedIn, Error> {
        let now = sequence::now();
        let provider = provider(&shared, &self.provider)?;
        let origin = fields::origin(self.client.take());
        let entered = self.second_factor.trim().to_owned();
        let continuation = match self.continuation.len() {
            0 => {
                let (ended, return_to) =
                    exchange(&self, &provider, &shared, origin.clone()).await?;
                match ended {
                    Ended::Session(begun) => {
                        let signed_in = signed_in(&shared, *begun, now).await?;
                        return Ok(SignedIn {
                            return_to,
                            ..signed_in
                        });
                    }
                    Ended::GoesOn(continuation) => continuation,
                }
            }
            1..=MAX_STATE => self.continuation,
            _ => return Err(refusals::WRONG_CODE),
        };
        let ended = go_on(&shared, &continuation, entered, origin).await;
        ended.map_err(|error| match error {
            Error::Refused {
                reason: reason @ (SECOND_FACTOR_NEEDED | WRONG_SECOND_FACTOR),
                message,
                ..
            } => Error::GoesOn {
                reason,
                message,
                continuation: Continuation(continuation),
            },
            error => error,
        })
    }
}

/// Goes on with a sign-in that waits for a code of the second factor. A wrong code leaves it as it is: tries are counted as those of passwords are.
async fn go_on(
    shared: &Shared,
    continuation: &str,
    entered: String,
    origin: Origin,
) -> Result<SignedIn, Error> {
    let (now, continuation) = (sequence::now(), hash(continuation));
    let asked = continuation.clone();
    let read = move |conn: &mut DbConnection| {
        let unfinished = identities::unfinished(conn, &asked, now)?;
        Ok(unfinished.ok_or(refusals::WRONG_CODE)?.user_id)
    };
    let user = shared.read(read).await?;
    if !entered.is_empty() {
        let is_known_device = origin.known_user == Some(user);
        count_try(shared, &user.to_string(), &origin, is_known_device).await?;
    }
    let settings = shared.settings.clone();
    let finish = move |conn: &mut DbConnection| {
        sequence::take(conn, now)?;
        let unfinished = identities::unfinished(conn, &continuation, now)?;
        let unfinished = unfinished.ok_or(refusals::WRONG_CODE)?;
        let mut user = person(conn, UserId(unfinished.user_id))?;
        if user.is_disabled {
            return Err(refusals::ACCOUNT_DISABLED.into());
        }
        check(conn, &mut user, &entered, now)?;
        identities::finish(conn, &continuation)?;
        tell_of_device(conn, &settings, &user, &origin, now)?;
        let begun = begin_session(conn, &mut user, &origin, true, false, now)?;
        Ok((begun, unfinished.return_to))
    };
    let (begun, return_to) = shared.write(finish).await?;
    Ok(SignedIn {
        return_to,
        ..signed_in(shared, begun, now).await?
    })
}

/// Exchanges the provider's code for who the person is. Returns what comes of it, and where the visitor wanted to go.
async fn exchange(
    request: &EndProviderSignInRequest,
    provider: &Provider,
    shared: &Shared,
    origin: Origin,
) -> Result<(Ended, String), Error> {
    let now = sequence::now();
    let (state, expected) = (request.state.as_bytes(), request.expected_state.as_bytes());
    // Another browser, or none, has begun this one.
    if state.is_empty() || state.len() > MAX_STATE || !bool::from(state.ct_eq(expected)) {
        return Err(refusals::WRONG_CODE);
    }
    let state = hash(&request.state);
    let take = move |conn: &mut DbConnection| Ok(identities::take(conn, &state, now)?);
    let begun = shared.write(take).await?.ok_or(refusals::WRONG_CODE)?;
    let (nonce, verifier) = (&begun.nonce, &begun.verifier);
    let ended = provider.end(&request.code, nonce, verifier, &begun.redirect_uri);
    let identity = ended.await?;
    let (settings, return_to) = (shared.settings.clone(), begun.return_to.clone());
    let continuation = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
    let sign_in = move |conn: &mut DbConnection| {
        let number = sequence::take(conn, now)?;
        let subject = hash(&format!("{} {}", identity.issuer, identity.subject));
        let known = identities::find(conn, PROVIDER_ID, &subject)?;
        let is_newcomer = known.is_none() && begun.link_to.is_none();
        let mut user = match (known, begun.link_to) {
            (Some(user), Some(other)) if user.0 != other => return Err(linked_already().into()),
            (Some(user), _) => person(conn, user)?,
            (None, Some(user)) => {
                let user = person(conn, UserId(user))?;
                identities::link(conn, PROVIDER_ID, &subject, user.id(), now)?;
                record(conn, (number, now), "provider.linked", &user)?;
                user
            }
            (None, None) => {
                let ticket = Ticket {
                    invitation: begun.invitation.clone(),
                    setup_code: String::new(),
                    is_loopback: origin.is_loopback,
                };
                let admitted = ticket.check(conn, &settings, now)?;
                let user = newcomer(conn, &identity, now)?;
                let user = add(conn, &admitted, user)?;
                identities::link(conn, PROVIDER_ID, &subject, user.id(), now)?;
                record(conn, (number, now), "account.registered", &user)?;
                user
            }
        };
        if user.is_disabled {
            return Err(refusals::ACCOUNT_DISABLED.into());
        }
        if user.second_factor.is_some() {
            let unfinished = Unfinished {
                continuation: hash(&continuation),
                user_id: user.id,
                return_to: begun.return_to.clone(),
                expires_at: now + GOES_ON_FOR,
            };
            identities::put_off(conn, &unfinished)?;
            return Ok(Ended::GoesOn(continuation.clone()));
        }
        if !is_newcomer {
            tell_of_device(conn, &settings, &user, &origin, now)?;
        }
        let begun = begin_session(conn, &mut user, &origin, true, false, now)?;
        Ok(Ended::Session(Box::new(begun)))
    };
    Ok((shared.write(sign_in).await?, return_to))
}

fn linked_already() -> Error {
    Error::refused(
        Refusal::AlreadyExists,
        proto::reasons::USERNAME_TAKEN,
        "another account is linked to this identity",
    )
}

fn record(
    conn: &mut DbConnection,
    at: (i64, chrono::NaiveDateTime),
    action: &str,
    user: &User,
) -> Result<(), Stop> {
    let entry = Entry::of(&Actor::from(user), at, action, user);
    Ok(audit::record(
        conn,
        &entry.with(&json!({ "provider": PROVIDER_ID })),
    )?)
}

/// A person as the provider describes the person, under a name that is free.
fn newcomer(
    conn: &mut DbConnection,
    identity: &ProviderIdentity,
    now: chrono::NaiveDateTime,
) -> Result<User, Stop> {
    let told = identity.email.as_deref().map(fields::email);
    let Some(Ok(email)) = told else {
        let reason = "the identity provider tells no e-mail address; register with a password";
        return Err(Error::Invalid(reason.to_owned()).into());
    };
    let is_fine = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let local = email.split('@').next().unwrap_or_default();
    let told = identity.name.as_deref().unwrap_or(local).replace(' ', ".");
    let wanted: String = told.chars().filter(is_fine).take(70).collect();
    let wanted = fields::username(&wanted).unwrap_or_else(|_| "person".to_owned());
    for number in 1..=NAMES {
        let name = match number {
            1 => wanted.clone(),
            number => format!("{wanted}-{number}"),
        };
        if users::by_username(conn, &name)?.is_none() {
            let role = proto::accounts::Role::Reader;
            let mut user = User::new(UserId(0), &name, &email, role, now);
            user.is_email_confirmed = identity.email_verified;
            return Ok(user);
        }
    }
    Err(refusals::USERNAME_TAKEN.into())
}
