//! The keys of access tokens, as this replica knows them. All replicas have the same: a new one is made under the lock on the order of changes.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{NaiveDateTime, TimeDelta};
use storage::{Database, DbConnection};

use crate::{
    error::Error,
    store::{
        sequence,
        signing_keys::{self, StoredKey},
    },
    tokens::{self, Claims, PublicKey, Refused, SigningKey},
};

/// How long a key signs.
const SIGNS_FOR: TimeDelta = TimeDelta::days(30);
/// How long it verifies afterwards.
const VERIFIES_FOR: TimeDelta = TimeDelta::days(1);
/// After how long the keys are read again.
const KNOWN_FOR: TimeDelta = TimeDelta::minutes(1);
/// How soon they may be read again because a token names a key that is not known.
const UNKNOWN_PAUSE: TimeDelta = TimeDelta::seconds(2);

/// The keys of access tokens. Clones know the same.
#[derive(Clone)]
pub struct Keyring {
    database: Database,
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Clone)]
struct Known {
    read_at: NaiveDateTime,
    newest: SigningKey,
    public: Arc<[PublicKey]>,
}

impl Keyring {
    /// The keys of a database.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            known: Arc::default(),
        }
    }

    /// Signs a token.
    ///
    /// # Errors
    ///
    /// If the database or the system's random numbers fail.
    pub async fn sign(&self, claims: &Claims, now: NaiveDateTime) -> Result<String, Error> {
        let known = self.known(now, KNOWN_FOR).await?;
        tokens::sign(claims, &known.newest).map_err(|error| Error::Failed(Box::new(error)))
    }

    /// Checks a token; nothing is returned for one that is not valid.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn verify(&self, token: &str, now: NaiveDateTime) -> Result<Option<Claims>, Error> {
        let known = self.known(now, KNOWN_FOR).await?;
        match tokens::verify(token, &known.public, now.and_utc()) {
            // Another replica may have made a key a moment ago.
            Err(Refused::UnknownKey) => {
                let known = self.known(now, UNKNOWN_PAUSE).await?;
                Ok(tokens::verify(token, &known.public, now.and_utc()).ok())
            }
            verified => Ok(verified.ok()),
        }
    }

    /// The public keys, as a JSON Web Key Set.
    ///
    /// # Errors
    ///
    /// If the database or the system's random numbers fail.
    pub async fn jwks(&self, now: NaiveDateTime) -> Result<String, Error> {
        let known = self.known(now, KNOWN_FOR).await?;
        Ok(tokens::jwks(known.public.iter()))
    }

    /// The keys as they were at most `age` ago.
    async fn known(&self, now: NaiveDateTime, age: TimeDelta) -> Result<Known, Error> {
        let known = self.held().clone();
        if let Some(known) = known.filter(|known| (now - known.read_at).abs() < age) {
            return Ok(known);
        }
        let read = |conn: &mut DbConnection| signing_keys::all(conn);
        let mut stored = self.database.read(read).await?;
        let is_young = |key: &StoredKey| now - key.created_at < SIGNS_FOR;
        if !stored.first().is_some_and(is_young) {
            stored = self.renew(now).await?;
        }
        let read = stored.iter().map(|key| SigningKey::from_pem(&key.secret));
        let keys: Vec<SigningKey> = read
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Failed(Box::new(error)))?;
        let newest = keys.first().cloned().ok_or(Error::Overloaded)?;
        let known = Known {
            read_at: now,
            newest,
            public: keys.iter().map(|key| key.public().clone()).collect(),
        };
        *self.held() = Some(known.clone());
        Ok(known)
    }

    /// Makes a new key, unless another replica has just done so.
    async fn renew(&self, now: NaiveDateTime) -> Result<Vec<StoredKey>, Error> {
        let key = SigningKey::generate().map_err(|error| Error::Failed(Box::new(error)))?;
        let made = StoredKey {
            kid: key.kid().to_owned(),
            secret: key.to_pem(),
            created_at: now,
        };
        let renew = move |conn: &mut DbConnection| {
            sequence::take(conn, now)?;
            signing_keys::clean(conn, now - SIGNS_FOR - VERIFIES_FOR)?;
            let stored = signing_keys::all(conn)?;
            match stored.first() {
                Some(newest) if now - newest.created_at < SIGNS_FOR => Ok(stored),
                _ => {
                    signing_keys::insert(conn, &made)?;
                    signing_keys::all(conn)
                }
            }
        };
        Ok(self.database.write(renew).await?)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
