//! Events reach the broker at least once and in order, from one replica at a time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bus::{BusError, Event, ID_HEADER, Outlet};
use proto::events::VERSION_HEADER;
use recommendations::system::Tuning;

use crate::support::{Replica, film, never_takes_over, on_every_database, small_steps, until};

/// A broker that can be unavailable.
#[derive(Default)]
struct Broker {
    taken: Mutex<Vec<Event>>,
    unavailable: Mutex<bool>,
    /// Takes this many events of the next batch and then fails.
    breaks_after: Mutex<Option<usize>>,
}

#[async_trait]
impl Outlet for Broker {
    async fn publish(&self, events: Vec<Event>) -> Result<(), BusError> {
        if *self.unavailable.lock().unwrap() {
            return Err(BusError::Unavailable("the broker is unavailable".into()));
        }
        let broken = self.breaks_after.lock().unwrap().take();
        let count = broken.unwrap_or(events.len()).min(events.len());
        self.taken
            .lock()
            .unwrap()
            .extend_from_slice(&events[..count]);
        if broken.is_some() {
            Err(BusError::Unavailable(
                "the broker became unavailable".into(),
            ))
        } else {
            Ok(())
        }
    }
}

impl Broker {
    fn taken(&self) -> Vec<i64> {
        self.taken
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.header(VERSION_HEADER).unwrap().parse().unwrap())
            .collect()
    }

    fn ids(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        let id = |event: &Event| event.header(ID_HEADER).unwrap().to_owned();
        taken.iter().map(id).collect()
    }

    /// Events may come twice: what is asked is whether they came.
    fn knows(&self, film: &str) -> bool {
        self.taken
            .lock()
            .unwrap()
            .iter()
            .any(|event| event.key == film)
    }
}

fn deliver(replica: &Replica, broker: &Arc<Broker>) {
    let group = replica.supervisor.group("outgoing");
    replica.engine.deliver_to(&group, broker.clone());
}

#[test]
fn events_wait_for_the_broker_and_then_come_in_order() {
    on_every_database("outbox_unavailable", async |database| {
        let replica = Replica::start(&database, &small_steps()).await;
        let broker = Arc::new(Broker::default());
        *broker.unavailable.lock().unwrap() = true;
        deliver(&replica, &broker);
        replica.follow(1, "train").await;
        for number in 0..20 {
            replica.save(film(&format!("f{number}"), "Train", 1)).await;
        }
        let written: Vec<i64> = replica
            .events()
            .await
            .iter()
            .map(|event| event.seq)
            .collect();
        assert_eq!(written.len(), 20);
        assert!(written.is_sorted());
        until(
            "the courier says that the broker is unavailable",
            async || {
                let actors = replica.process.registry.actors();
                actors
                    .iter()
                    .any(|actor| format!("{:?}", actor.health).contains("broker is unavailable"))
            },
        )
        .await;

        *broker.breaks_after.lock().unwrap() = Some(7);
        *broker.unavailable.lock().unwrap() = false;
        until("the outbox is empty", async || {
            replica.events().await.is_empty()
        })
        .await;
        let taken = broker.taken();
        assert_eq!(taken[..7], written[..7], "what came before the fault");
        assert_eq!(taken[7..], written, "and then everything again");
        let ids = broker.ids();
        assert_eq!(ids[..7], ids[7..14], "an event keeps its id");
        let different: HashSet<&String> = ids.iter().collect();
        assert_eq!(different.len(), 20);
        let number = written[0].to_string();
        assert!(!ids[0].contains(&number), "it is not to be guessed");
        replica.stop().await;
    });
}

#[test]
fn one_replica_delivers_for_all_and_another_takes_over() {
    on_every_database("outbox_lease", async |database| {
        let mut patient = small_steps();
        patient.lease = never_takes_over();
        let first = Replica::start(&database, &small_steps()).await;
        let (ones, others) = (Arc::new(Broker::default()), Arc::new(Broker::default()));
        deliver(&first, &ones);
        first.save(film("f1", "Train", 1)).await;
        until("the first one delivers", async || ones.knows("f1")).await;

        let second = Replica::start(&database, &patient).await;
        deliver(&second, &others);
        second.save(film("f2", "Train", 1)).await;
        until("the first one delivers for the second", async || {
            ones.knows("f2")
        })
        .await;
        assert!(others.taken().is_empty());

        // One that stops in order gives its lease up, and no other replica has to wait for it.
        first.engine.leave().await;
        second.save(film("f3", "Train", 1)).await;
        until("the second one delivers", async || others.knows("f3")).await;
        first.stop().await;
        second.stop().await;

        // One that dies does not; the next one waits for it, and then takes over.
        let mut waiting = small_steps();
        waiting.lease.patience = Duration::from_secs(2);
        let began = Instant::now();
        let third = Replica::start(&database, &waiting).await;
        let thirds = Arc::new(Broker::default());
        deliver(&third, &thirds);
        third.save(film("f4", "Train", 1)).await;
        until("the third one delivers", async || thirds.knows("f4")).await;
        assert!(began.elapsed() >= waiting.lease.patience, "it waited");
        third.stop().await;
    });
}

#[test]
fn versions_grow_over_everything_that_is_told() {
    on_every_database("outbox_versions", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        for _ in 0..3 {
            replica.follow(1, "train").await;
            replica
                .save(film(
                    "f1",
                    "Train",
                    replica
                        .number("SELECT MAX(value) AS number FROM sequences")
                        .await,
                ))
                .await;
            replica.stop_following(1, "train").await;
        }
        let events = replica.events().await;
        let told: Vec<bool> = events
            .iter()
            .map(|event| event.payload.contains("true"))
            .collect();
        assert_eq!(told, [true, false, true, false, true, false]);
        assert!(events.iter().map(|event| event.seq).is_sorted());
        assert!(
            events[0].seq > 1_600_000_000_000_000,
            "begins with the time of the database"
        );
        replica.stop().await;
    });
}
