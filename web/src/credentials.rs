//! What is known of credentials: whose a session, an access token or a personal token is. The accounts service alone decides that
//! ([`identify`]); its answers are remembered for a minute, and forgotten at once when it tells that something has changed. While it cannot
//! tell, they are remembered for two seconds.
//!
//! Secrets are not kept: an answer is found by the SHA-256 of the credential.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use moka::sync::Cache;
use proto::{
    Role, Scope, Scopes, UserId,
    accounts::{AuthenticateRequest, CredentialKind, Identity},
    reasons,
};
use runtime::grpc::Person;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    AppState, Error,
    actors::accounts_gateway::{Call, Used},
    visitor::{Credential, SignedIn},
};

/// How long an answer is remembered when the accounts service tells of changes, and when it cannot.
const AGE: Duration = Duration::from_secs(60);
const AGE_UNWATCHED: Duration = Duration::from_secs(2);
/// How long a wrong credential is remembered.
const AGE_OF_WRONG: Duration = Duration::from_secs(10);
/// How many credentials are remembered, valid and wrong ones.
const MOST: u64 = 100_000;
const MOST_WRONG: u64 = 10_000;
/// How long the accounts service may take to say whose a credential is.
const DEADLINE: Duration = Duration::from_secs(3);
/// The longest credential that is looked at, in bytes.
const LONGEST: usize = 4_096;
/// The use of a credential is told of once in so many seconds.
const USE_SECONDS: i64 = 60;

type Key = [u8; 32];

/// Why it is not known whose a credential is.
#[derive(Debug)]
pub(crate) enum Unidentified {
    /// It is not valid, or not any more.
    Wrong,
    /// The accounts service does not say.
    Unknown(Error),
}

/// The answers of the accounts service.
#[derive(Debug)]
pub(crate) struct Credentials {
    known: Cache<Key, Arc<Known>>,
    wrong: Cache<Key, ()>,
    changes: RwLock<Changes>,
    is_watched: AtomicBool,
    /// Counts the changes, for those who wait for one.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Known {
    user: SignedIn,
    /// Before the accounts service was asked: a change that was told later may not be in its answer.
    asked_at: Instant,
    expires_at: Option<DateTime<Utc>>,
    /// When its use was told of last, in seconds of the Unix epoch.
    told_at: AtomicI64,
}

/// When what was known of whom ceased to hold.
#[derive(Debug)]
struct Changes {
    of_all: Instant,
    of_users: HashMap<UserId, Instant>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            known: Cache::builder()
                .max_capacity(MOST)
                .time_to_live(AGE)
                .build(),
            wrong: Cache::builder()
                .max_capacity(MOST_WRONG)
                .time_to_live(AGE_OF_WRONG)
                .build(),
            changes: RwLock::new(Changes {
                of_all: Instant::now(),
                of_users: HashMap::new(),
            }),
            is_watched: AtomicBool::new(false),
            changed: watch::Sender::new(0),
        }
    }
}

impl Credentials {
    /// The accounts service has told whose credentials are not what they were.
    pub(crate) fn users_changed(&self, users: impl IntoIterator<Item = UserId>) {
        let now = Instant::now();
        self.change(|changes| {
            let is_needed = |at: &Instant| now.duration_since(*at) < AGE + DEADLINE;
            changes.of_users.retain(|_, at| is_needed(at));
            changes
                .of_users
                .extend(users.into_iter().map(|user| (user, now)));
        });
    }

    /// Any credential may not be what it was.
    pub(crate) fn all_changed(&self) {
        self.change(|changes| changes.of_all = Instant::now());
    }

    fn change(&self, change: impl FnOnce(&mut Changes)) {
        change(&mut self.changes.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|number| *number += 1);
    }

    /// Whether the accounts service tells of changes now.
    pub(crate) fn set_watched(&self, is_watched: bool) {
        self.is_watched.store(is_watched, Ordering::Release);
    }

    /// Is told each time that a credential may not be valid any more.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn get(&self, key: &Key) -> Option<Arc<Known>> {
        let known = self.known.get(key)?;
        let oldest = match self.is_watched.load(Ordering::Acquire) {
            true => AGE,
            false => AGE_UNWATCHED,
        };
        let changes = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        let of_user = changes.of_users.get(&known.user.person.id);
        let changed_at = of_user.map_or(changes.of_all, |at| changes.of_all.max(*at));
        let is_current = known.asked_at > changed_at
            && known.asked_at.elapsed() < oldest
            && known.expires_at.is_none_or(|end| end > Utc::now());
        is_current.then_some(known)
    }
}

/// Tells whose a credential is, and, now and then, the accounts service that it was used from `address`.
pub(crate) async fn identify(
    app: &AppState,
    credential: &str,
    address: impl FnOnce() -> String,
) -> Result<SignedIn, Unidentified> {
    if credential.len() > LONGEST || !credential.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unidentified::Wrong);
    }
    let (key, credentials): (Key, _) = (Sha256::digest(credential).into(), &app.credentials);
    let known = match credentials.get(&key) {
        Some(known) => known,
        None if credentials.wrong.contains_key(&key) => return Err(Unidentified::Wrong),
        None => ask(app, key, credential).await?,
    };
    tell_of_use(app, &known, address);
    Ok(known.user.clone())
}

async fn ask(app: &AppState, key: Key, credential: &str) -> Result<Arc<Known>, Unidentified> {
    let asked_at = Instant::now();
    let request = AuthenticateRequest {
        credential: credential.to_owned(),
    };
    let answer = app.accounts.ask(Call::of_service(request), DEADLINE).await;
    let identity = match answer.unwrap_or_else(|e| Err(e.into())) {
        Ok(identity) => identity,
        Err(Error::Denied { reason, .. }) if is_wrong(&reason) => {
            app.credentials.wrong.insert(key, ());
            return Err(Unidentified::Wrong);
        }
        Err(error) => return Err(Unidentified::Unknown(error)),
    };
    let known = known(identity, asked_at).ok_or(Unidentified::Wrong)?;
    let known = Arc::new(known);
    app.credentials.known.insert(key, known.clone());
    Ok(known)
}

fn is_wrong(reason: &str) -> bool {
    [reasons::WRONG_TOKEN, reasons::ACCOUNT_DISABLED].contains(&reason)
}

/// What an identity on the wire says; nothing if it is of a role that this program does not know.
fn known(identity: Identity, asked_at: Instant) -> Option<Known> {
    let scopes = identity.scopes.iter().copied();
    let scopes = match identity.kind() {
        // A session of pages, and a program that signed in as its person, may do what the person may.
        CredentialKind::Session | CredentialKind::AccessToken if identity.scopes.is_empty() => {
            Scopes::ALL
        }
        _ => scopes.filter_map(Scope::of_number).collect(),
    };
    let person = Person {
        id: UserId(identity.user_id),
        role: Role::of_number(identity.role)?,
        scopes,
    };
    let expires_at = match identity.expires_at.as_str() {
        "" => None,
        at => Some(DateTime::parse_from_rfc3339(at).ok()?.to_utc()),
    };
    let kind = identity.kind();
    Some(Known {
        user: SignedIn {
            person,
            username: identity.username,
            is_owner: identity.is_owner,
            credential: Some(Credential {
                id: identity.credential_id,
                kind,
            }),
        },
        asked_at,
        expires_at,
        told_at: AtomicI64::new(0),
    })
}

fn tell_of_use(app: &AppState, known: &Known, address: impl FnOnce() -> String) {
    let now = Utc::now();
    let told_at = known.told_at.load(Ordering::Relaxed);
    let (seconds, credential) = (now.timestamp(), &known.user.credential);
    let Some(credential) = credential
        .as_ref()
        .filter(|_| seconds - told_at >= USE_SECONDS)
    else {
        return;
    };
    known.told_at.store(seconds, Ordering::Relaxed);
    // Missed where the gateway is down: it is about when a session was used last.
    let _ = app.accounts.tell(Used {
        credential_id: credential.id.clone(),
        at: now,
        address: address(),
    });
}
