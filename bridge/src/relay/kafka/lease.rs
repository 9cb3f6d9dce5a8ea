//! Which instance of a route that reads from NATS is the active one: the member of a consumer group that is given the
//! only partition of a topic without records. The marks of the route are kept with that partition's offset, and a member
//! that was shut out of the group cannot change them any more.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    consumer::{CommitMode, Consumer, StreamConsumer},
    error::KafkaError,
};
use tokio::time::timeout;

use super::{
    super::{
        config::KafkaCluster,
        flow::{Interruption, Marks, Standby},
    },
    client::{Member, Wait, assignment, blocking, is_transient, member},
    offsets::{add, kept, metadata},
    topics::provide_topics,
};

/// The topic whose partition is leased. It stays empty.
const TOPIC: &str = "marquee-relay-leases";
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How long a wait for the broker is at most before it is looked whether the lease is still held.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The lease of a route.
pub(in super::super) struct Lease {
    cluster: KafkaCluster,
    name: String,
    group: String,
    held: Option<Held>,
}

/// A process that was paused for so long may have lost the lease without knowing.
const MAX_PAUSE: Duration = Duration::from_secs(4);

/// When the process was last known to run.
struct Pulse(Mutex<Instant>);

impl Pulse {
    fn is_late(&self) -> bool {
        lock(&self.0).elapsed() > MAX_PAUSE
    }

    /// Whether the process was paused since the last beat.
    fn beat(&self) -> bool {
        let was_paused = self.is_late();
        *lock(&self.0) = Instant::now();
        was_paused
    }
}

fn lock(pulse: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    pulse.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A member that is, or wants to be, the active one.
struct Held {
    pulse: Arc<Pulse>,
    consumer: Arc<StreamConsumer<Member>>,
    changes: u64,
    polling: tokio::task::JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.polling.abort();
        bus::clients::drop_elsewhere(self.consumer.clone());
    }
}

impl Lease {
    pub(in super::super) fn new(cluster: KafkaCluster, name: &str, group: &str) -> Self {
        Self {
            cluster,
            name: format!("{name}-lease"),
            group: group.into(),
            held: None,
        }
    }

    /// Waits until this instance is the active one. Returns the marks that were kept last.
    pub(in super::super) async fn acquire(
        &mut self,
        standby: &Standby,
    ) -> Result<Option<Marks>, Interruption> {
        let acquired = self.acquired(standby).await;
        let Err(interruption @ Interruption::Unavailable(_)) = acquired else {
            return acquired;
        };
        Err(match self.held.take() {
            Some(held) => held.consumer.context().trouble.explain(interruption),
            None => interruption,
        })
    }

    async fn acquired(&mut self, standby: &Standby) -> Result<Option<Marks>, Interruption> {
        if self.held.is_none() {
            self.held = Some(self.join().await?);
        }
        let Some(held) = &mut self.held else {
            return Err(Interruption::Rebalanced);
        };
        let member = held.consumer.context().clone();
        let mut wait = Wait::new();
        loop {
            wait.look(&member, standby)?;
            if held.polling.is_finished() {
                return Err(Interruption::unavailable("the lease cannot be had"));
            }
            held.changes = member.changes();
            if assignment(&held.consumer).count() > 0 {
                break;
            }
            timeout(POLL_INTERVAL, member.changed.notified()).await.ok();
        }
        let consumer = held.consumer.clone();
        let read = move || consumer.committed_offsets(partition(0, "")?, ANSWER_DEADLINE);
        let committed = blocking(read).await?;
        Ok(committed.elements().first().and_then(kept))
    }

    async fn join(&self) -> Result<Held, Interruption> {
        provide_topics(&self.cluster, &self.name, &[(TOPIC.to_owned(), 1)]).await?;
        let consumer = member(
            &self.cluster,
            &self.name,
            &self.group,
            // An instance that joins takes the lease from none that has it.
            "cooperative-sticky",
            Member::default(),
        )
        .map_err(Interruption::unavailable)?;
        consumer
            .subscribe(&[TOPIC])
            .map_err(Interruption::unavailable)?;
        let pulse = Arc::new(Pulse(Mutex::new(Instant::now())));
        let (polled, beating) = (consumer.clone(), pulse.clone());
        let polling = tokio::spawn(async move {
            loop {
                let received = timeout(POLL_INTERVAL, polled.recv()).await;
                if beating.beat() {
                    // The session that believes to have the lease ends.
                    polled.context().note_change();
                }
                if let Ok(Err(error)) = received
                    && !is_transient(&error)
                {
                    tracing::debug!(target: "librdkafka", %error, "a lease is given up: {error}");
                    return;
                }
            }
        });
        Ok(Held {
            pulse,
            consumer,
            changes: 0,
            polling,
        })
    }

    /// Whether this instance is still the active one, as far as it knows.
    pub(in super::super) fn is_held(&self) -> bool {
        self.held.as_ref().is_some_and(|held| {
            let is_same = held.consumer.context().changes() == held.changes;
            is_same && !held.polling.is_finished() && !held.pulse.is_late()
        })
    }

    /// A way to keep marks that outlives a call.
    pub(in super::super) fn keeper(&self) -> Option<MarksKeeper> {
        let consumer = self.held.as_ref()?.consumer.clone();
        Some(MarksKeeper { consumer })
    }

    /// Gives the lease to another instance.
    pub(in super::super) async fn give_up(&mut self) {
        if let Some(held) = self.held.take() {
            held.polling.abort();
            let consumer = held.consumer.clone();
            drop(held);
            bus::clients::blocking(move || drop(consumer)).await.ok();
        }
    }
}

/// Keeps the marks of a route for whichever instance is the active one next.
#[derive(Clone)]
pub(in super::super) struct MarksKeeper {
    consumer: Arc<StreamConsumer<Member>>,
}

impl MarksKeeper {
    /// Keeps `marks`; an instance that is not the active one any more is refused.
    pub(in super::super) async fn keep(&self, marks: &Marks) -> Result<(), Interruption> {
        let (consumer, marks) = (self.consumer.clone(), metadata(marks)?);
        blocking(move || consumer.commit(&partition(0, &marks)?, CommitMode::Sync)).await
    }
}

fn partition(offset: i64, metadata: &str) -> Result<TopicPartitionList, KafkaError> {
    let mut offsets = TopicPartitionList::new();
    add(&mut offsets, TOPIC, 0, offset, metadata)?;
    Ok(offsets)
}
