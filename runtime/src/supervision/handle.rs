//! A way to reach an actor that survives restarts.
//!
//! Asking an actor that is down fails at once, and every ask has a deadline.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use actix::{Actor, Addr, Handler, Message, dev::ToEnvelope};
use thiserror::Error;

use super::{registry::Entry, requested::Requested};

/// How many messages may wait for one actor before further ones are refused.
const MAILBOX_LIMIT: usize = 4_096;

/// A way to reach a supervised actor that stays valid when the actor is restarted.
pub struct Handle<A: Actor> {
    slot: Arc<Slot<A>>,
}

/// Why an actor gave no answer. The text inside is the actor's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AskError {
    /// The actor is down at the moment; its supervisor is about to make a new one.
    #[error("`{0}` is being restarted")]
    Unavailable(String),
    /// Too many messages wait for the actor already.
    #[error("`{0}` has too much to do")]
    Overloaded(String),
    /// No answer came in time. The message may still be handled.
    #[error("`{0}` did not answer in time")]
    Deadline(String),
    /// The actor died before it answered. The message may have been handled in part.
    #[error("`{0}` failed while it handled the message")]
    Crashed(String),
}

impl<A: Actor> Handle<A> {
    /// Sends `message` and waits at most `deadline` for the answer.
    ///
    /// # Errors
    ///
    /// See [`AskError`]; while the actor is down the call fails at once.
    pub async fn ask<M>(&self, message: M, deadline: Duration) -> Result<M::Result, AskError>
    where
        A: Handler<Requested<M>>,
        A::Context: ToEnvelope<A, Requested<M>>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let entry = &self.slot.entry;
        let addr = self.addr()?;
        let _place = entry
            .enter_mailbox(MAILBOX_LIMIT)
            .ok_or_else(|| AskError::Overloaded(self.name().into()))?;
        match tokio::time::timeout(deadline, addr.send(Requested::new(message))).await {
            Ok(Ok(answer)) => {
                entry.count_handled(1);
                Ok(answer)
            }
            Ok(Err(_)) => Err(AskError::Crashed(self.name().into())),
            Err(_) => Err(AskError::Deadline(self.name().into())),
        }
    }

    /// Sends `message` without waiting for anything.
    ///
    /// # Errors
    ///
    /// If the actor is down or its mailbox is full; the message is lost then.
    pub fn tell<M>(&self, message: M) -> Result<(), AskError>
    where
        A: Handler<Requested<M>>,
        A::Context: ToEnvelope<A, Requested<M>>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        use actix::prelude::SendError;
        let message = Requested::new(message);
        self.addr()?.try_send(message).map_err(|e| match e {
            SendError::Full(_) => AskError::Overloaded(self.name().into()),
            SendError::Closed(_) => AskError::Unavailable(self.name().into()),
        })?;
        self.slot.entry.count_handled(1);
        Ok(())
    }

    /// The actor's name.
    pub fn name(&self) -> &str {
        self.slot.entry.name()
    }

    pub(super) fn new(slot: Arc<Slot<A>>) -> Self {
        Self { slot }
    }

    fn addr(&self) -> Result<Addr<A>, AskError> {
        self.slot
            .get()
            .filter(Addr::connected)
            .ok_or_else(|| AskError::Unavailable(self.name().into()))
    }
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            slot: self.slot.clone(),
        }
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.name()).finish()
    }
}

/// Where the address of an actor's present incarnation is kept.
pub(super) struct Slot<A: Actor> {
    addr: RwLock<Option<Addr<A>>>,
    pub(super) entry: Arc<Entry>,
}

impl<A: Actor> Slot<A> {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        Self {
            addr: RwLock::new(None),
            entry,
        }
    }

    pub(super) fn set(&self, addr: Option<Addr<A>>) {
        *self.addr.write().unwrap_or_else(PoisonError::into_inner) = addr;
    }

    fn get(&self) -> Option<Addr<A>> {
        let addr = self.addr.read().unwrap_or_else(PoisonError::into_inner);
        addr.clone()
    }
}
