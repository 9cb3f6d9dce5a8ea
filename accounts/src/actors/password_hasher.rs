//! Hashes and compares passwords, on threads of their own: each takes tens of milliseconds and 19 MiB on purpose. A flood of sign-ins makes
//! sign-ins slow, and nothing else; beyond [`WAITING`] they are refused.

use std::{sync::Arc, thread, time::Duration};

use actix::{Actor, Handler, Message, SyncContext};
use runtime::{ChildGuard, Group, Handle};
use tokio::sync::Semaphore;

use crate::{
    error::Error,
    passwords::{self, Verified},
};

/// How many passwords may wait or be worked on.
const WAITING: usize = 64;

/// How long one waits at most.
const DEADLINE: Duration = Duration::from_secs(30);

/// Hashes and compares passwords.
pub struct PasswordHasher {
    guard: ChildGuard,
}

/// Asks to check a new password against the rules, and to hash it. Answers the hash, or what is wrong with the password.
#[derive(Message)]
#[rtype(result = "Result<Result<String, String>, passwords::Error>")]
struct Hash {
    password: String,
    /// Whose it is to be.
    username: String,
    email: String,
}

/// Asks whether a password is that of a hash, and for a new hash if the parameters of the old one are not those of today.
#[derive(Message)]
#[rtype(result = "Compared")]
struct Compare {
    password: String,
    hash: String,
}

/// What comparing a password gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// It is the one.
    pub is_right: bool,
    /// A hash with the parameters of today, if the old one has others.
    pub new_hash: Option<String>,
}

/// The way to the hasher's threads. Clones share the places.
#[derive(Debug, Clone)]
pub struct Hasher {
    threads: Handle<PasswordHasher>,
    places: Arc<Semaphore>,
}

impl Hasher {
    /// Starts the threads: half as many as the machine has cores.
    pub fn start(group: &Group) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let make = |guard| PasswordHasher { guard };
        Self {
            threads: group.supervise_sync("password-hasher", (cores / 2).max(1), make),
            places: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// Hashes a new password of the account of this name and address; or tells what is wrong with it.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] if too many wait.
    pub async fn hash_new(
        &self,
        password: String,
        username: &str,
        email: &str,
    ) -> Result<Result<String, String>, Error> {
        let _place = self.places.try_acquire().map_err(|_| Error::Overloaded)?;
        let hash = Hash {
            password,
            username: username.to_owned(),
            email: email.to_owned(),
        };
        let hashed = self.threads.ask(hash, DEADLINE).await?;
        hashed.map_err(|error| Error::Failed(Box::new(error)))
    }

    /// Compares a password with a hash. Without one it takes as long, and is wrong.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] if too many wait.
    pub async fn compare(&self, password: String, hash: Option<String>) -> Result<Compared, Error> {
        let _place = self.places.try_acquire().map_err(|_| Error::Overloaded)?;
        let is_there = hash.is_some();
        let hash = hash.unwrap_or_else(|| passwords::DUMMY_HASH.to_owned());
        let compare = Compare { password, hash };
        let compared = self.threads.ask(compare, DEADLINE).await?;
        Ok(Compared {
            is_right: compared.is_right && is_there,
            ..compared
        })
    }
}

runtime::requested!(PasswordHasher);

impl Actor for PasswordHasher {
    type Context = SyncContext<Self>;

    fn started(&mut self, _: &mut SyncContext<Self>) {
        self.guard.ready();
    }
}

impl Handler<Hash> for PasswordHasher {
    type Result = Result<Result<String, String>, passwords::Error>;

    fn handle(&mut self, message: Hash, _: &mut SyncContext<Self>) -> Self::Result {
        self.guard.step();
        match passwords::check(&message.password, &message.username, &message.email) {
            Ok(()) => passwords::hash(&message.password).map(Ok),
            Err(wrong) => Ok(Err(wrong)),
        }
    }
}

impl Handler<Compare> for PasswordHasher {
    type Result = actix::MessageResult<Compare>;

    fn handle(&mut self, message: Compare, _: &mut SyncContext<Self>) -> Self::Result {
        self.guard.step();
        let Compare { password, hash } = message;
        let verified = passwords::verify(&password, &hash);
        let new_hash = match verified {
            // If it cannot be made now, it is made at the next sign-in.
            Verified::Right { rehash: true } => passwords::hash(&password).ok(),
            _ => None,
        };
        actix::MessageResult(Compared {
            is_right: matches!(verified, Verified::Right { .. }),
            new_hash,
        })
    }
}
