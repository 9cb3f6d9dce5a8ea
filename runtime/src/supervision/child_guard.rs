//! What an actor holds of its supervisor: the guard that reports its end, and the reporter of its health.
//!
//! actix drops an actor that panics without a word; the guard is dropped with it, and that is how the supervisor learns of it.

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    sync::{Arc, Mutex, Once},
};

use actix::Addr;

use super::{
    registry::{Entry, Health, lock},
    supervisor::{ChildEnded, Keeper},
    tree::ChildId,
};

/// What ties an actor to its supervisor. The actor keeps it as a field: when the actor is dropped,
/// whether it stopped or panicked, so is the guard, and the supervisor is told.
#[derive(Debug)]
pub struct ChildGuard {
    keeper: Addr<Keeper>,
    child: ChildId,
    incarnation: u64,
    reporter: Reporter,
}

/// How an actor, or a task that it started, reports on its work.
#[derive(Debug, Clone)]
pub struct Reporter {
    entry: Arc<Entry>,
    failure: Arc<Mutex<Option<String>>>,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    Panicked(String),
    Failed(String),
    Stopped,
}

impl ChildGuard {
    /// Says that the actor does what it is for.
    pub fn ready(&self) {
        self.reporter.ready();
    }

    /// Says that the actor works on without something it needs.
    pub fn degraded(&self, reason: impl fmt::Display) {
        self.reporter.degraded(reason);
    }

    /// Says that the actor works on without something whose absence the log tells already.
    pub fn hindered(&self, reason: impl fmt::Display) {
        self.reporter.hindered(reason);
    }

    /// Says that the actor cannot serve for want of something whose absence the log tells already.
    pub fn blocked(&self, reason: impl fmt::Display) {
        self.reporter.blocked(reason);
    }

    /// Says that the actor cannot serve for now.
    pub fn not_ready(&self, reason: impl fmt::Display) {
        self.reporter.not_ready(reason);
    }

    /// Says that the actor is still getting ready, which is no trouble.
    pub fn starting(&self, reason: impl fmt::Display) {
        self.reporter.starting(reason);
    }

    /// Puts down why the actor is about to stop itself.
    pub fn failed(&self, reason: impl fmt::Display) {
        self.reporter.failed(reason);
    }

    /// For actors that block: where a test can make them panic. Does nothing in what is shipped.
    pub fn step(&self) {
        #[cfg(debug_assertions)]
        self.reporter.entry.panic_injection.step();
    }

    /// A reporter for the tasks that the actor starts; it does not keep the actor alive.
    pub fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    pub(super) fn new(
        keeper: Addr<Keeper>,
        child: ChildId,
        incarnation: u64,
        entry: Arc<Entry>,
    ) -> Self {
        Self {
            keeper,
            child,
            incarnation,
            reporter: Reporter {
                entry,
                failure: Arc::default(),
            },
        }
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        let cause = if std::thread::panicking() {
            Cause::Panicked(last_panic())
        } else {
            match lock(&self.reporter.failure).take() {
                Some(reason) => Cause::Failed(reason),
                None => Cause::Stopped,
            }
        };
        self.keeper.do_send(ChildEnded {
            child: self.child,
            incarnation: self.incarnation,
            cause,
        });
    }
}

impl Reporter {
    /// See [`ChildGuard::ready`].
    pub fn ready(&self) {
        self.entry.set_health(Health::Ready);
        if self.entry.set_told(false) {
            let (service, actor) = (self.entry.service(), self.entry.name());
            tracing::info!(parent: None, service, actor, "{actor} is back");
        }
    }

    /// See [`ChildGuard::degraded`].
    pub fn degraded(&self, reason: impl fmt::Display) {
        self.trouble(Health::Degraded(reason.to_string()), &reason);
    }

    /// See [`ChildGuard::hindered`].
    pub fn hindered(&self, reason: impl fmt::Display) {
        self.entry.set_health(Health::Degraded(reason.to_string()));
    }

    /// See [`ChildGuard::blocked`].
    pub fn blocked(&self, reason: impl fmt::Display) {
        self.entry.set_health(Health::NotReady(reason.to_string()));
    }

    /// See [`ChildGuard::not_ready`].
    pub fn not_ready(&self, reason: impl fmt::Display) {
        self.trouble(Health::NotReady(reason.to_string()), &reason);
    }

    /// See [`ChildGuard::starting`].
    pub fn starting(&self, reason: impl fmt::Display) {
        self.entry.set_health(Health::Starting(reason.to_string()));
    }

    /// Counts what the actor did without being asked through its handle.
    pub fn handled(&self, count: u64) {
        self.entry.count_handled(count);
    }

    /// Adds to the counter `name`, lower-case words in the plural; `/system` and `/metrics` show it.
    pub fn count(&self, name: &'static str, count: u64) {
        self.entry.count(name, count);
    }

    /// See [`ChildGuard::failed`].
    pub fn failed(&self, reason: impl fmt::Display) {
        *lock(&self.failure) = Some(reason.to_string());
    }

    /// Logs once when trouble begins, not each time it is met again.
    fn trouble(&self, health: Health, reason: &dyn fmt::Display) {
        self.entry.set_health(health);
        if !self.entry.set_told(true) {
            let (service, actor) = (self.entry.service(), self.entry.name());
            tracing::warn!(parent: None, service, actor, "{actor}: {reason}");
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Failed(reason) => write!(f, "{reason}"),
            Self::Stopped => write!(f, "stopped by itself"),
        }
    }
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The message of a caught panic.
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".into()
    }
}

/// Makes panics leave their message where a dying actor's guard finds it.
pub(super) fn remember_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            LAST_PANIC.with_borrow_mut(|last| *last = panic_message(info.payload()));
            previous(info);
        }));
    });
}

fn last_panic() -> String {
    LAST_PANIC.with_borrow(Clone::clone)
}
