//! The event of a deleted account: stored with the deletion, published at least once, with one id.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bus::{BusError, Event, ID_HEADER, Outlet};
use proto::{
    accounts::{DeleteAccountRequest, accounts_server::Accounts},
    events::{ACCOUNTS_TOPIC, VERSION_HEADER},
};

use crate::support::{Replica, as_user, on_every_database};

/// A broker that takes events, or does not.
#[derive(Default)]
struct Broker {
    taken: Mutex<Vec<Event>>,
    /// It takes events and does not say so, as one that the program does not live to hear.
    is_silent: bool,
}

#[async_trait]
impl Outlet for Broker {
    async fn publish(&self, events: Vec<Event>) -> Result<(), BusError> {
        self.taken.lock().unwrap().extend(events);
        match self.is_silent {
            true => std::future::pending().await,
            false => Ok(()),
        }
    }
}

impl Broker {
    fn taken(&self) -> Vec<Event> {
        self.taken.lock().unwrap().clone()
    }
}

async fn delete(replica: &Replica, user_id: i32) {
    let request = DeleteAccountRequest {
        user_id,
        password: String::new(),
    };
    replica
        .service
        .delete_account(as_user(1, request))
        .await
        .unwrap();
}

fn header(event: &Event, name: &str) -> String {
    let mut headers = event.headers.iter();
    let found = headers.find(|(known, _)| known == name);
    found.unwrap().1.clone()
}

#[test]
fn a_deletion_is_told_once_also_after_a_kill_between_commit_and_publish() {
    on_every_database("events", async |database| {
        let killed = Replica::start(&database).await;
        killed.owner().await;
        let ann = killed.register("ann").await.unwrap();
        let bob = killed.register("bob").await.unwrap();
        // Nobody delivers yet: a kill here loses nothing.
        delete(&killed, ann.id).await;
        assert_eq!(killed.count("outbox").await, 1);
        // This one publishes, and is gone before it could delete the row.
        let dying = Arc::new(Broker {
            is_silent: true,
            ..Broker::default()
        });
        killed
            .engine
            .deliver_to(&killed.supervisor.group("outgoing"), dying.clone());
        testkit::eventually("the broker has the event", async || {
            !dying.taken().is_empty()
        })
        .await;
        killed.supervisor.stop(Duration::ZERO).await;

        let next = Replica::start(&database).await;
        let broker = Arc::new(Broker::default());
        next.engine
            .deliver_to(&next.supervisor.group("outgoing"), broker.clone());
        delete(&next, bob.id).await;
        let is_empty = async || next.count("outbox").await == 0;
        testkit::eventually("the outbox is empty", is_empty).await;
        let (before, after) = (dying.taken(), broker.taken());
        let payloads: Vec<_> = after
            .iter()
            .map(|event| String::from_utf8(event.payload.clone()).unwrap())
            .collect();
        let expected =
            [ann.id, bob.id].map(|id| format!(r#"{{"type": "account_deleted", "user_id": {id}}}"#));
        assert_eq!(payloads, expected);
        assert_eq!(
            (after[0].topic.as_str(), &after[0].key),
            (ACCOUNTS_TOPIC, &ann.id.to_string())
        );
        // The broker takes it for the same event.
        assert_eq!(header(&before[0], ID_HEADER), header(&after[0], ID_HEADER));
        assert_ne!(header(&after[0], ID_HEADER), header(&after[1], ID_HEADER));
        let version = |event: &Event| header(event, VERSION_HEADER).parse::<i64>().unwrap();
        assert!(version(&after[0]) < version(&after[1]));
        next.stop().await;
    });
}
