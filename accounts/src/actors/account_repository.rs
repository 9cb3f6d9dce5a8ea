//! Reads and writes people, sessions and tokens. Each call of the service is a message; what it does is in [`crate::calls`].

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use runtime::{ChildGuard, Handle, Wake, supervision::in_request};
use storage::{Database, DbConnection};

use super::{credential_poller::CredentialPoller, password_hasher::Hasher};
use crate::{
    access::Acting,
    config::AccountsSettings,
    error::{Error, Stop},
    keyring::Keyring,
    passwords::Tries,
    picture::Pictures,
    providers::Provider,
};

/// A call of the service, as a message to the repository.
pub trait Call: Send + Sized + 'static {
    /// What the caller learns.
    type Answer: Send + 'static;

    /// Does what is asked for.
    fn perform(
        self,
        acting: Acting,
        shared: Shared,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// Asks the repository to do a call on behalf of somebody.
#[derive(Debug, Message)]
#[rtype(result = "Result<C::Answer, Error>")]
pub struct Perform<C: Call> {
    /// What.
    pub call: C,
    /// For whom.
    pub acting: Acting,
}

/// What calls need.
#[derive(Clone)]
pub struct Shared {
    /// The database.
    pub database: Database,
    /// For passwords.
    pub hasher: Hasher,
    /// For access tokens.
    pub keyring: Keyring,
    /// What people can do.
    pub settings: Arc<AccountsSettings>,
    /// How often passwords were tried.
    pub tries: Arc<Tries>,
    /// Where people can sign in besides.
    pub provider: Option<Arc<Provider>>,
    /// For what people look like.
    pub pictures: Pictures,
    /// Tells those who watch.
    pub poller: Handle<CredentialPoller>,
}

impl Shared {
    /// Reads; what the read refuses is an error of its own.
    ///
    /// # Errors
    ///
    /// What is refused, or that the database fails.
    pub async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut DbConnection) -> Result<T, Stop> + Send + 'static,
    {
        let query = move |conn: &mut DbConnection| match query(conn) {
            Ok(found) => Ok(Ok(found)),
            Err(Stop::Refused(error)) => Ok(Err(error)),
            Err(Stop::Query(error)) => Err(error),
        };
        self.database.read(query).await?
    }

    /// Writes, and tells those who watch. What the change refuses is an error of its own; what it wrote before is kept.
    ///
    /// # Errors
    ///
    /// What is refused, or that the database fails.
    pub async fn write<T, F>(&self, mut change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut DbConnection) -> Result<T, Stop> + Send + 'static,
    {
        let change = move |conn: &mut DbConnection| match change(conn) {
            Ok(done) => Ok(Ok(done)),
            Err(Stop::Refused(error)) => Ok(Err(error)),
            Err(Stop::Query(error)) => Err(error),
        };
        let written = self.database.write(change).await;
        // Also after an error: a write that was not answered in time may still have been done. If it cannot be told it looks by itself.
        let _ = self.poller.tell(Wake);
        written?
    }
}

/// Reads and writes people, sessions and tokens.
pub struct AccountRepository {
    shared: Shared,
    guard: ChildGuard,
}

impl AccountRepository {
    /// Makes the actor.
    pub fn new(shared: Shared, guard: ChildGuard) -> Self {
        Self { shared, guard }
    }
}

runtime::requested!(AccountRepository);

impl Actor for AccountRepository {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.guard.ready();
    }
}

impl<C: Call> Handler<Perform<C>> for AccountRepository {
    type Result = ResponseFuture<Result<C::Answer, Error>>;

    fn handle(&mut self, message: Perform<C>, _: &mut Context<Self>) -> Self::Result {
        let Perform { call, acting } = message;
        in_request(call.perform(acting, self.shared.clone()))
    }
}
