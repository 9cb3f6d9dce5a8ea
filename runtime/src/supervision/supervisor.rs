//! The root of a supervision tree: starts children, restarts them, stops them in order, and gives up.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, SyncContext};
use futures::future::join_all;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    backoff::Backoff,
    child::{AsyncChild, Child, SyncChild},
    child_guard::{Cause, ChildGuard, remember_panics},
    handle::{Handle, Slot},
    registry::{ActorRegistry, lock},
    tree::{ChildId, GroupState, Kept, Tree, Verdict},
};
use crate::{
    metrics::Metrics,
    process::{Fault, Process},
};

/// The root of a service's supervision tree. Made inside the service's actix system.
#[derive(Clone)]
pub struct Supervisor {
    keeper: Addr<Keeper>,
    tree: Arc<Mutex<Tree>>,
    registry: ActorRegistry,
    ended: Arc<Notify>,
    gave_up: watch::Receiver<Option<String>>,
}

/// Actors that are restarted together when one of them cannot be kept alive.
#[derive(Clone)]
pub struct Group {
    supervisor: Supervisor,
    index: usize,
    name: String,
}

/// On which thread an actor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the service's own thread: for actors that only pass messages on.
    Here,
    /// On a thread of its own: for actors that compute.
    OwnArbiter,
}

/// When to restart, when to restart more, and when to give up.
#[derive(Debug, Clone, Copy)]
pub struct RestartPolicy {
    /// The delay before the first restart; it doubles with each further one.
    pub first_delay: Duration,
    /// The longest delay.
    pub max_delay: Duration,
    /// Deaths of one child within `window` that are one too many, so that its group is restarted.
    pub child_deaths: usize,
    /// Restarts of one group within `window` that are one too many, so that the supervisor gives up.
    pub group_restarts: usize,
    /// How far back deaths and restarts count.
    pub window: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(10),
            child_deaths: 6,
            group_restarts: 3,
            window: Duration::from_secs(120),
        }
    }
}

impl Supervisor {
    /// A supervisor for `service` with the default policy.
    pub fn new(service: &str, process: &Process) -> Self {
        Self::with_policy(service, process, RestartPolicy::default())
    }

    /// A supervisor for `service`. Must be called on the thread of a running actix system.
    pub fn with_policy(service: &str, process: &Process, policy: RestartPolicy) -> Self {
        remember_panics();
        let (give_up, gave_up) = watch::channel(None);
        let ended = Arc::new(Notify::new());
        let tree = Arc::new(Mutex::new(Tree {
            service: service.into(),
            policy,
            groups: Vec::new(),
            children: Vec::new(),
            closing: false,
        }));
        let keeper = Keeper {
            tree: tree.clone(),
            ended: ended.clone(),
            give_up,
        };
        Self {
            keeper: keeper.start(),
            tree,
            registry: process.registry.clone(),
            ended,
            gave_up,
        }
    }

    /// A new group of actors.
    pub fn group(&self, name: &str) -> Group {
        let mut tree = lock(&self.tree);
        tree.groups.push(GroupState {
            name: name.into(),
            restarts: VecDeque::new(),
        });
        Group {
            supervisor: self.clone(),
            index: tree.groups.len() - 1,
            name: name.into(),
        }
    }

    /// Says that all actors of the service have been started.
    pub(crate) fn complete(&self) {
        let service = lock(&self.tree).service.clone();
        self.registry.complete(&service);
    }

    /// Waits until the supervisor has restarted a group too often and gives up.
    pub async fn gave_up(&self) -> Fault {
        let mut gave_up = self.gave_up.clone();
        let reason = match gave_up.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the supervisor itself is gone".into(),
        };
        Fault::GaveUp { reason }
    }

    /// Stops the children one after the other, those started last first, and waits for each; all
    /// together at most `deadline`.
    pub async fn stop(&self, deadline: Duration) {
        let all = self.close().into_iter().map(|(index, _)| index);
        self.stop_in_turn(all.collect(), Instant::now() + deadline)
            .await;
        self.leave();
    }

    /// Stops all groups side by side, the children of each as [`stop`](Self::stop) does: for groups of which none needs
    /// another one.
    pub async fn stop_side_by_side(&self, deadline: Duration) {
        let until = Instant::now() + deadline;
        let mut groups = BTreeMap::<usize, Vec<usize>>::new();
        for (index, group) in self.close() {
            groups.entry(group).or_default().push(index);
        }
        let stopping = groups.into_values();
        join_all(stopping.map(|children| self.stop_in_turn(children, until))).await;
        self.leave();
    }

    /// Starts no child any more. Returns the children, each with its group, those started last first.
    fn close(&self) -> Vec<(usize, usize)> {
        let mut tree = lock(&self.tree);
        tree.closing = true;
        let children = tree.children.iter().map(|kept| kept.group).enumerate();
        children.rev().collect()
    }

    async fn stop_in_turn(&self, children: Vec<usize>, until: Instant) {
        for index in children {
            self.with_child(index, |kept| kept.child.stop());
            let waits = async {
                let mut ended = self.ended.notified();
                while self.with_child(index, |kept| kept.alive).unwrap_or(false) {
                    ended.await;
                    ended = self.ended.notified();
                }
            };
            if timeout_at(until, waits).await.is_err() {
                self.with_child(index, |kept| {
                    let actor = kept.child.entry().name();
                    tracing::warn!(actor, "{actor} did not stop in time");
                });
            }
        }
    }

    /// Children hold addresses of the keeper; without them both can go.
    fn leave(&self) {
        let children = std::mem::take(&mut lock(&self.tree).children);
        drop(children);
        self.keeper.do_send(Leave);
    }

    fn with_child<T>(&self, index: usize, f: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        lock(&self.tree).children.get_mut(index).map(f)
    }
}

impl Group {
    /// Starts an actor and keeps it alive. The `factory` makes every incarnation; what it makes
    /// keeps the [`ChildGuard`] that it is given.
    pub fn supervise<A>(
        &self,
        name: &str,
        place: Place,
        factory: impl Fn(ChildGuard) -> A + Send + Sync + 'static,
    ) -> Handle<A>
    where
        A: Actor<Context = Context<A>>,
    {
        let slot = self.slot(name);
        self.adopt(AsyncChild {
            slot: slot.clone(),
            factory: Arc::new(factory),
            place,
            arbiter: None,
            stop: CancellationToken::new(),
            incarnation: 0,
        });
        Handle::new(slot)
    }

    /// Starts an actor on `threads` threads of its own, each with an actor made by `factory`, and
    /// keeps it alive.
    pub fn supervise_sync<A>(
        &self,
        name: &str,
        threads: usize,
        factory: impl Fn(ChildGuard) -> A + Send + Sync + 'static,
    ) -> Handle<A>
    where
        A: Actor<Context = SyncContext<A>>,
    {
        let slot = self.slot(name);
        self.adopt(SyncChild {
            slot: slot.clone(),
            factory: Arc::new(factory),
            threads,
            incarnation: 0,
        });
        Handle::new(slot)
    }

    /// The name of the service whose actors these are.
    pub fn service(&self) -> String {
        lock(&self.supervisor.tree).service.clone()
    }

    /// The figures of the process, to which its parts add their own.
    pub fn metrics(&self) -> &Metrics {
        self.supervisor.registry.metrics()
    }

    fn slot<A: Actor>(&self, name: &str) -> Arc<Slot<A>> {
        let service = self.service();
        Arc::new(Slot::new(
            self.supervisor.registry.add(&service, &self.name, name),
        ))
    }

    fn adopt(&self, child: impl Child + 'static) {
        let mut tree = lock(&self.supervisor.tree);
        let policy = tree.policy;
        tree.children.push(Kept {
            child: Box::new(child),
            group: self.index,
            backoff: Backoff::new(policy.first_delay, policy.max_delay),
            deaths: VecDeque::new(),
            alive: false,
        });
        let id = ChildId(tree.children.len() - 1);
        tree.start(id, &self.supervisor.keeper);
    }
}

/// A guard was dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ChildEnded {
    pub(super) child: ChildId,
    pub(super) incarnation: u64,
    pub(super) cause: Cause,
}

/// The supervisor is done.
#[derive(Message)]
#[rtype(result = "()")]
struct Leave;

/// The actor behind a [`Supervisor`].
#[derive(Debug)]
pub(super) struct Keeper {
    tree: Arc<Mutex<Tree>>,
    ended: Arc<Notify>,
    give_up: watch::Sender<Option<String>>,
}

impl Actor for Keeper {
    type Context = Context<Self>;
}

impl Handler<ChildEnded> for Keeper {
    type Result = ();

    fn handle(&mut self, ended: ChildEnded, context: &mut Context<Self>) {
        let verdict = lock(&self.tree).child_ended(&ended);
        self.ended.notify_waiters();
        match verdict {
            Verdict::Nothing => {}
            Verdict::Restart(child, delay) => self.start_later(child, delay, context),
            Verdict::RestartGroup(children) => {
                for (child, delay) in children {
                    self.start_later(child, delay, context);
                }
            }
            Verdict::GiveUp(reason) => {
                self.give_up.send_replace(Some(reason));
            }
        }
    }
}

impl Handler<Leave> for Keeper {
    type Result = ();

    fn handle(&mut self, _: Leave, context: &mut Context<Self>) {
        context.stop();
    }
}

impl Keeper {
    fn start_later(&self, child: ChildId, delay: Duration, context: &mut Context<Self>) {
        context.run_later(delay, move |keeper, context| {
            lock(&keeper.tree).start(child, &context.address());
        });
    }
}
