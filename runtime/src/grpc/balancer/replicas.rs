//! The replicas of a service as one client knows them, and which of them a call goes to.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};
use tonic::{ConnectError, codegen::StdError};

use super::replica::{Connection, Replica};

/// What is known of all replicas.
#[derive(Debug)]
pub(super) struct Replicas {
    table: Mutex<Table>,
    /// Marked whenever the table has changed.
    changed: watch::Sender<()>,
    /// Told when the replicas are to be looked up at once.
    pub(super) lookup_wanted: Notify,
}

#[derive(Debug, Default)]
struct Table {
    lookup: LookupState,
    entries: Vec<Entry>,
    /// Where the search for the next replica begins.
    turn: usize,
}

#[derive(Debug, Default)]
enum LookupState {
    #[default]
    Never,
    UnderWay,
    Done,
    Failed(Unreachable),
}

#[derive(Debug)]
struct Entry {
    replica: Arc<Replica>,
    state: ReplicaState,
    /// How many calls of it are under way.
    calls: usize,
}

/// Whether a replica can be called.
#[derive(Debug)]
pub(super) enum ReplicaState {
    Connecting,
    Connected(Connection, Health),
    Down(Unreachable),
}

/// What a connected replica says of itself, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    Serving,
    /// It left a call without an answer, and is asked whether it is still there: others come first.
    Silent,
    /// It does not serve: it is called if no other is connected.
    NotServing,
}

/// Why a service or one of its replicas cannot be reached.
#[derive(Debug, Clone)]
pub(super) struct Unreachable(Arc<dyn Error + Send + Sync>);

impl Unreachable {
    pub(super) fn because(error: impl Into<StdError>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Unreachable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// What comes of the search for a replica.
enum Choice {
    Found(Connection, Arc<Replica>),
    /// One may soon be there.
    Wait,
    Unreachable(Unreachable),
}

impl Default for Replicas {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            changed: watch::Sender::new(()),
            lookup_wanted: Notify::new(),
        }
    }
}

impl Replicas {
    /// Chooses a replica for one call. If none is connected it waits for one, until all of them have been tried once more.
    ///
    /// # Errors
    ///
    /// Why no replica can be reached.
    pub(super) async fn choose(self: &Arc<Self>) -> Result<InFlight, StdError> {
        // Before the first look, so that no change is missed.
        let mut changes = self.changed.subscribe();
        let mut is_first = true;
        loop {
            let choice = self.lock().choose();
            match choice {
                Choice::Found(connection, replica) => {
                    return Ok(InFlight {
                        replicas: self.clone(),
                        replica,
                        connection,
                        has_ended: false,
                    });
                }
                _ if std::mem::take(&mut is_first) => {
                    self.try_again();
                    continue;
                }
                Choice::Unreachable(error) => return Err(ConnectError(Box::new(error)).into()),
                Choice::Wait => {}
            }
            let changed = changes.changed().await;
            changed.expect("the sender is a field of what is borrowed here");
        }
    }

    /// Tells of each change of what is known.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether any replica is connected that does not say that it does not serve.
    pub(super) fn are_serving(&self) -> bool {
        let table = self.lock();
        let mut entries = table.entries.iter();
        entries.any(|entry| match &entry.state {
            ReplicaState::Connected(_, health) => *health != Health::NotServing,
            _ => false,
        })
    }

    /// Whether a replica serves that the call does not go to.
    pub(super) fn have_others(&self, call: &InFlight) -> bool {
        let table = self.lock();
        let mut others = table
            .entries
            .iter()
            .filter(|entry| entry.replica.id != call.replica.id);
        others.any(|entry| matches!(entry.state, ReplicaState::Connected(_, Health::Serving)))
    }

    /// Has all replicas that are down connect at once, and looks for others.
    fn try_again(&self) {
        let mut table = self.lock();
        for entry in &mut table.entries {
            if matches!(entry.state, ReplicaState::Down(_)) {
                entry.state = ReplicaState::Connecting;
                entry.replica.wanted.notify_one();
            }
        }
        if !matches!(table.lookup, LookupState::Done) {
            table.lookup = LookupState::UnderWay;
        }
        self.lookup_wanted.notify_one();
    }

    /// Notes what was looked up: `replicas` are all that there are. Those that are known already stay as they are.
    pub(super) fn found(&self, replicas: Vec<Arc<Replica>>) {
        let mut table = self.lock();
        let mut before = std::mem::take(&mut table.entries);
        for replica in replicas {
            let known = before
                .iter()
                .position(|entry| entry.replica.id == replica.id);
            table.entries.push(match known {
                Some(known) => before.swap_remove(known),
                None => Entry {
                    replica,
                    state: ReplicaState::Connecting,
                    calls: 0,
                },
            });
        }
        table.lookup = LookupState::Done;
        drop(table);
        self.changed.send_replace(());
    }

    /// Notes that the replicas cannot be looked up. Those that were known before stay.
    pub(super) fn not_found(&self, error: Unreachable) {
        let mut table = self.lock();
        table.lookup = match table.entries.is_empty() {
            true => LookupState::Failed(error),
            false => LookupState::Done,
        };
        drop(table);
        self.changed.send_replace(());
    }

    /// Notes what has become of a replica.
    pub(super) fn set(&self, id: u64, state: ReplicaState) {
        let mut table = self.lock();
        if let Some(entry) = table.entry(id) {
            entry.state = state;
        }
        drop(table);
        self.changed.send_replace(());
    }

    /// Whether a replica can be called.
    pub(super) fn is_connected(&self, id: u64) -> bool {
        let mut table = self.lock();
        let entry = table.entry(id);
        entry.is_some_and(|entry| matches!(entry.state, ReplicaState::Connected(..)))
    }

    /// Notes what a replica says of itself through a connection.
    pub(super) fn set_health(&self, id: u64, connection: &Connection, health: Health) {
        self.set_connected(id, connection, |connection, _| {
            ReplicaState::Connected(connection, health)
        });
    }

    /// Notes that a replica left a call without an answer.
    pub(super) fn doubt(&self, id: u64, connection: &Connection) {
        self.set_connected(id, connection, |connection, health| {
            ReplicaState::Connected(connection, health.max(Health::Silent))
        });
    }

    /// Notes what has become of a replica, unless the connection is not its connection any more.
    fn set_connected(
        &self,
        id: u64,
        connection: &Connection,
        state: impl FnOnce(Connection, Health) -> ReplicaState,
    ) {
        let mut table = self.lock();
        if let Some(entry) = table.entry(id)
            && let ReplicaState::Connected(known, health) = &entry.state
            && known.number == connection.number
        {
            entry.state = state(known.clone(), *health);
        }
        drop(table);
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.replica.id == id)
    }

    /// The connected replica with the best health, of those the one with the fewest calls, of those the next in turn.
    fn choose(&mut self) -> Choice {
        let count = self.entries.len();
        let (before, after) = self.entries.split_at(self.turn.min(count));
        let in_turn = after.iter().chain(before).enumerate();
        let connected = in_turn.filter_map(|(place, entry)| match entry.state {
            ReplicaState::Connected(_, health) => Some(((health, entry.calls), place)),
            _ => None,
        });
        // The first of equal ones.
        if let Some((_, place)) = connected.min_by_key(|(rank, _)| *rank) {
            let index = (self.turn.min(count) + place) % count;
            self.turn = (index + 1) % count;
            if let Some(entry) = self.entries.get_mut(index)
                && let ReplicaState::Connected(connection, _) = &entry.state
            {
                entry.calls += 1;
                return Choice::Found(connection.clone(), entry.replica.clone());
            }
        }
        let mut error = match &self.lookup {
            LookupState::Never | LookupState::UnderWay => return Choice::Wait,
            LookupState::Done => None,
            LookupState::Failed(error) => Some(error),
        };
        for entry in &self.entries {
            match &entry.state {
                ReplicaState::Down(reason) => error = Some(reason),
                _ => return Choice::Wait,
            }
        }
        let error = error.cloned();
        Choice::Unreachable(error.unwrap_or_else(|| Unreachable::because("it has no address")))
    }
}

/// A call of a replica that is under way.
pub(super) struct InFlight {
    replicas: Arc<Replicas>,
    replica: Arc<Replica>,
    pub(super) connection: Connection,
    has_ended: bool,
}

impl InFlight {
    /// Whether another call goes to the same replica.
    pub(super) fn is_of_same_replica(&self, other: &Self) -> bool {
        self.replica.id == other.replica.id
    }

    /// The replica has begun to answer, or is not asked any more.
    pub(super) fn ended(&mut self) {
        self.has_ended = true;
    }

    /// The replica executes no calls: the others come first until it says that it serves.
    pub(super) fn refused(&mut self) {
        self.doubt(Health::NotServing);
    }

    /// The replica takes too long to answer: the others come first until it says that it is there.
    pub(super) fn silent(&mut self) {
        self.doubt(Health::Silent);
    }

    fn doubt(&mut self, health: Health) {
        self.has_ended = true;
        let (id, connection) = (self.replica.id, &self.connection);
        self.replicas.set_health(id, connection, health);
        connection.doubted.notify_one();
    }

    /// The connection has ended: no other call is made through it.
    pub(super) fn lost(&mut self) {
        self.has_ended = true;
        let (id, connection) = (self.replica.id, &self.connection);
        let state = |_, _| ReplicaState::Connecting;
        self.replicas.set_connected(id, connection, state);
        connection.lost.cancel();
    }
}

/// A caller that waited in vain, or for no longer, leaves it open whether the replica still answers.
impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.has_ended {
            self.connection.doubted.notify_one();
        }
        if let Some(entry) = self.replicas.lock().entry(self.replica.id) {
            entry.calls = entry.calls.saturating_sub(1);
        }
    }
}
