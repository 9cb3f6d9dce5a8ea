//! The observable state of every actor of a process.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Metrics,
    ops::{self, Section},
};

/// What an actor is about until it has started.
const BEGINS: &str = "starting";

/// What all the actors of a process report about themselves; feeds `/readyz`, `/metrics` and
/// `/system`.
#[derive(Debug, Clone)]
pub struct ActorRegistry {
    entries: Arc<Mutex<Vec<Arc<Entry>>>>,
    starting: Arc<watch::Sender<Vec<String>>>,
    sections: Arc<Mutex<Vec<Arc<dyn Section>>>>,
    draining: CancellationToken,
    metrics: Metrics,
}

/// How far an actor is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorState {
    /// Takes messages.
    Running,
    /// Died, and is restarted after a delay; asking it fails at once.
    Restarting,
    /// Ended for good.
    Stopped,
}

/// What an actor says of its own work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Does what it is for.
    Ready,
    /// Works on without something it needs, and catches up later: the reason.
    Degraded(String),
    /// Cannot serve yet: what it is about.
    Starting(String),
    /// Cannot serve: the reason.
    NotReady(String),
}

/// One actor as it is at this moment.
#[derive(Debug, Clone)]
pub struct ActorStatus {
    /// The service whose supervisor keeps the actor.
    pub service: String,
    /// The group it is restarted with.
    pub group: String,
    /// Its role.
    pub name: String,
    /// How far it is in its life.
    pub state: ActorState,
    /// What it says of its work.
    pub health: Health,
    /// How many times it was restarted.
    pub restarts: u64,
    /// Why it was last restarted, and how long ago that was.
    pub last_failure: Option<(String, Duration)>,
    /// Messages that wait in its mailbox or are being handled.
    pub mailbox: usize,
    /// Messages it was done with, and what it did without being asked.
    pub handled: u64,
    /// What else it counts, by name, in the order in which it was first counted.
    pub counters: Vec<(&'static str, u64)>,
}

impl ActorStatus {
    /// Why the actor cannot serve, if it cannot.
    pub fn not_ready_reason(&self) -> Option<String> {
        match (&self.state, &self.health) {
            (ActorState::Restarting, _) => Some("is being restarted".into()),
            (ActorState::Stopped, _) => Some("has stopped".into()),
            (_, Health::Starting(reason) | Health::NotReady(reason)) => Some(reason.clone()),
            _ => None,
        }
    }
}

impl Default for ActorRegistry {
    fn default() -> Self {
        let (entries, metrics) = (Arc::<Mutex<Vec<Arc<Entry>>>>::default(), Metrics::default());
        let shown = entries.clone();
        ops::show_actors(&metrics, move || reports(&shown));
        Self {
            entries,
            starting: Arc::default(),
            sections: Arc::default(),
            draining: CancellationToken::new(),
            metrics,
        }
    }
}

impl ActorRegistry {
    /// Every actor of the process, in the order in which they were first started.
    pub fn actors(&self) -> Vec<ActorStatus> {
        reports(&self.entries)
    }

    /// The services of the process that have not started all their actors yet.
    pub fn starting(&self) -> Vec<String> {
        self.starting.borrow().clone()
    }

    /// Shows `section` to operators, besides the actors.
    pub fn show(&self, section: Arc<dyn Section>) {
        lock(&self.sections).push(section);
    }

    /// What is shown besides the actors.
    pub(crate) fn sections(&self) -> Vec<Arc<dyn Section>> {
        lock(&self.sections).clone()
    }

    /// The figures of the process for Prometheus, to which its parts add their own.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Says that the process serves as long as it is asked, and is to be asked no more.
    pub(crate) fn drain(&self) {
        self.draining.cancel();
    }

    /// Whether the process is to be asked no more.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until the process is to be asked no more.
    pub(crate) async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Why `service` cannot serve, if it cannot.
    pub(crate) fn not_ready_reason(&self, service: &str) -> Option<String> {
        if self.is_draining() {
            return Some("the program is about to stop".into());
        }
        if self.starting().iter().any(|starting| starting == service) {
            return Some("has not started all its actors".into());
        }
        let actors = self.actors();
        let mut of_service = actors.iter().filter(|actor| actor.service == service);
        of_service.find_map(|actor| Some(format!("{}: {}", actor.name, actor.not_ready_reason()?)))
    }

    /// Says that `service` is about to start its actors.
    pub(crate) fn expect(&self, service: &str) {
        self.starting.send_if_modified(|starting| {
            let is_new = !starting.iter().any(|expected| expected == service);
            if is_new {
                starting.push(service.into());
            }
            is_new
        });
    }

    /// Says that `service` has started all its actors.
    pub(crate) fn complete(&self, service: &str) {
        self.starting
            .send_modify(|starting| starting.retain(|expected| expected != service));
    }

    /// Waits until all services of the process have started all their actors.
    pub(crate) async fn all_started(&self) {
        let mut starting = self.starting.subscribe();
        // It does not end: the registry has the other end.
        let _ = starting.wait_for(Vec::is_empty).await;
    }

    /// Makes an actor panic, for tests; false if there is none of this name.
    #[cfg(debug_assertions)]
    pub(crate) fn make_panic(&self, service: &str, actor: &str) -> bool {
        let entries = lock(&self.entries);
        let mut named = entries
            .iter()
            .filter(|e| e.service == service && e.name == actor);
        named
            .next()
            .map(|entry| entry.panic_injection.draw())
            .is_some()
    }

    pub(crate) fn add(&self, service: &str, group: &str, name: &str) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            service: service.into(),
            group: group.into(),
            name: name.into(),
            restarts: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            counters: Mutex::default(),
            mailbox: AtomicUsize::new(0),
            #[cfg(debug_assertions)]
            panic_injection: Arc::default(),
            condition: Mutex::new(Condition {
                state: ActorState::Running,
                health: Health::Starting(BEGINS.into()),
                has_reported: false,
                is_told: false,
                last_failure: None,
            }),
        });
        lock(&self.entries).push(entry.clone());
        entry
    }
}

fn reports(entries: &Mutex<Vec<Arc<Entry>>>) -> Vec<ActorStatus> {
    lock(entries).iter().map(|e| e.report()).collect()
}

/// The observable state of one supervised actor, over all its incarnations.
#[derive(Debug)]
pub(crate) struct Entry {
    service: String,
    group: String,
    name: String,
    restarts: AtomicU64,
    handled: AtomicU64,
    counters: Mutex<Vec<(&'static str, u64)>>,
    mailbox: AtomicUsize,
    #[cfg(debug_assertions)]
    pub(super) panic_injection: Arc<super::panic_injection::PanicInjector>,
    condition: Mutex<Condition>,
}

#[derive(Debug)]
struct Condition {
    state: ActorState,
    health: Health,
    /// Whether the present incarnation has said something of its work.
    has_reported: bool,
    /// Whether the log says that it is in trouble.
    is_told: bool,
    last_failure: Option<(String, Instant)>,
}

impl Entry {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn service(&self) -> &str {
        &self.service
    }

    pub(super) fn set_state(&self, state: ActorState) {
        lock(&self.condition).state = state;
    }

    /// Puts down what the actor says of its work.
    pub(super) fn set_health(&self, health: Health) {
        let mut condition = lock(&self.condition);
        condition.health = health;
        condition.has_reported = true;
    }

    /// Begins a new incarnation, which has said nothing yet.
    pub(super) fn begin(&self) {
        let mut condition = lock(&self.condition);
        condition.health = Health::Starting(BEGINS.into());
        condition.has_reported = false;
        condition.is_told = false;
    }

    /// Puts down that the actor has started; it is ready unless it has said otherwise.
    pub(crate) fn has_begun(&self) {
        let mut condition = lock(&self.condition);
        if !condition.has_reported {
            condition.health = Health::Ready;
        }
    }

    /// Puts down whether the log says that the actor is in trouble; returns whether it did before.
    pub(super) fn set_told(&self, is_told: bool) -> bool {
        std::mem::replace(&mut lock(&self.condition).is_told, is_told)
    }

    pub(super) fn record_failure(&self, cause: &str) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        lock(&self.condition).last_failure = Some((cause.into(), Instant::now()));
    }

    /// Takes a place in the mailbox unless `limit` messages are there already.
    pub(super) fn enter_mailbox(self: &Arc<Self>, limit: usize) -> Option<InMailbox> {
        let waiting = self.mailbox.fetch_add(1, Ordering::Relaxed);
        let place = InMailbox(self.clone());
        (waiting < limit).then_some(place)
    }

    pub(super) fn count_handled(&self, count: u64) {
        self.handled.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn count(&self, name: &'static str, count: u64) {
        let mut counters = lock(&self.counters);
        match counters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, total)) => *total += count,
            None => counters.push((name, count)),
        }
    }

    fn report(&self) -> ActorStatus {
        let condition = lock(&self.condition);
        ActorStatus {
            service: self.service.clone(),
            group: self.group.clone(),
            name: self.name.clone(),
            state: condition.state,
            health: condition.health.clone(),
            restarts: self.restarts.load(Ordering::Relaxed),
            last_failure: condition
                .last_failure
                .as_ref()
                .map(|(cause, at)| (cause.clone(), at.elapsed())),
            mailbox: self.mailbox.load(Ordering::Relaxed),
            handled: self.handled.load(Ordering::Relaxed),
            counters: lock(&self.counters).clone(),
        }
    }
}

/// A place in an actor's mailbox, given back when dropped.
#[derive(Debug)]
pub(super) struct InMailbox(Arc<Entry>);

impl Drop for InMailbox {
    fn drop(&mut self) {
        self.0.mailbox.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Locks what no panic can leave half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
