//! A user whose account is deleted is forgotten, whatever fails meanwhile.

use std::sync::Arc;

use bus::{Bus, BusUrl, Event, EventHandler, Producer, Subscription, Verdict, consume};
use proto::{
    events::{ACCOUNTS_GROUP, ACCOUNTS_TOPIC, AccountDeleted},
    recommendations::{MarkSeenRequest, recommendations_server::Recommendations},
};
use recommendations::{actors::account_consumer::AccountHandler, system::Tuning};
use testkit::server;
use tonic::Request;

use crate::support::{Replica, film, on_every_database, small_steps, until};

fn event(topic: &str, user: i32, payload: &[u8]) -> Event {
    Event {
        topic: topic.into(),
        key: user.to_string(),
        payload: payload.to_vec(),
        headers: Vec::new(),
    }
}

fn deleted(user: i32) -> Event {
    let payload = AccountDeleted { user_id: user }.to_payload();
    event(ACCOUNTS_TOPIC, user, &payload)
}

fn handler(replica: &Replica) -> AccountHandler {
    AccountHandler::new(replica.engine.recommender.clone())
}

async fn look(replica: &Replica, user_id: i32) {
    let look = Request::new(MarkSeenRequest { user_id });
    replica.service.mark_seen(look).await.unwrap();
}

/// How many rows say anything of the user.
async fn rows_of(replica: &Replica, user: i32) -> i64 {
    let mut rows = 0;
    for table in ["prefs", "recommendations", "looks", "backlog"] {
        let count = format!("SELECT COUNT(*) AS number FROM {table} WHERE user_id = {user}");
        rows += replica.number(&count).await;
    }
    rows
}

#[test]
fn a_deleted_user_is_forgotten_and_others_are_not() {
    on_every_database("accounts", async |database| {
        let replica = Replica::start(&database, &small_steps()).await;
        for number in 1..=7 {
            let title = format!("Heist of the robots {number}");
            replica
                .save(film(&format!("film-{number}"), &title, 1))
                .await;
        }
        replica.save(film("whale", "The whale", 1)).await;
        for user in [7, 8] {
            replica.follow(user, "heist").await;
            replica.follow(user, "Robots").await;
            look(&replica, user).await;
        }
        replica.follow(7, "whale").await;
        replica.until_backlog_is_empty().await;
        // What older programs left: no film and no keyword explains it.
        replica
            .execute("INSERT INTO recommendations (user_id, film_id, created_at) VALUES (7, 'lost', '2020-01-01 00:00:00')")
            .await;
        let events = [deleted(7)];
        assert_eq!(handler(&replica).handle(&events).await, [Verdict::Done]);
        // The rest of a preference with many films is left to the backlog.
        replica.until_backlog_is_empty().await;
        assert_eq!(rows_of(&replica, 7).await, 0);
        assert_eq!(replica.recommended(8).await.len(), 7);
        assert_eq!(replica.keywords(8).await.len(), 2);
        // The flag of the film that only user 7 was recommended follows.
        replica.consistent().await;
        let statuses = replica.statuses().await;
        assert_eq!(statuses.get("whale"), Some(&false));
        assert_eq!(statuses.get("film-1"), Some(&true));
        // The matcher knows: a further film is not recommended to the user.
        replica.save(film("film-8", "Another heist", 1)).await;
        replica.until_backlog_is_empty().await;
        assert_eq!(rows_of(&replica, 7).await, 0);

        // The event comes again, and one of a user of whom nothing is known.
        let events = [deleted(7), deleted(9)];
        assert_eq!(
            handler(&replica).handle(&events).await,
            [Verdict::Done, Verdict::Done]
        );
        replica.stop().await;
    });
}

#[test]
fn what_is_no_event_is_a_dead_letter_and_other_events_are_passed_over() {
    on_every_database("accounts-poison", async |database| {
        let replica = Replica::start(&database, &Tuning::default()).await;
        replica.follow(7, "heist").await;
        let events = [
            event(ACCOUNTS_TOPIC, 7, b"{"),
            event(ACCOUNTS_TOPIC, 7, br#"{"type": "account_deleted"}"#),
            event(
                ACCOUNTS_TOPIC,
                7,
                br#"{"type": "role_changed", "user_id": 7}"#,
            ),
            deleted(8),
        ];
        let verdicts = handler(&replica).handle(&events).await;
        assert!(matches!(verdicts[0], Verdict::DeadLetter(_)));
        assert!(matches!(verdicts[1], Verdict::DeadLetter(_)));
        assert_eq!(verdicts[2..], [Verdict::Done, Verdict::Done]);
        assert_eq!(rows_of(&replica, 7).await, 1);
        replica.stop().await;
    });
}

#[test]
fn a_restart_in_the_middle_goes_on_with_what_is_left() {
    on_every_database("accounts-restart", async |database| {
        const KEYWORDS: i64 = 40;
        let replica = Replica::start(&database, &small_steps()).await;
        for number in 0..KEYWORDS {
            replica.follow(7, &format!("word{number}")).await;
            let title = format!("A word{number}");
            replica
                .save(film(&format!("film-{number}"), &title, 1))
                .await;
        }
        let preferences = "SELECT COUNT(*) AS number FROM prefs WHERE user_id = 7";
        let some_are_gone = async || replica.number(preferences).await < KEYWORDS;
        let (events, handler_before) = ([deleted(7)], handler(&replica));
        let verdicts = tokio::select! {
            verdicts = handler_before.handle(&events) => Some(verdicts),
            () = until("some are gone", some_are_gone) => None,
        };
        // It was not acknowledged.
        assert_eq!(verdicts, None);
        let left = replica.number(preferences).await;
        assert!(left > 0, "the stop is in the middle");
        replica.stop().await;

        let replica = Replica::start(&database, &small_steps()).await;
        assert_eq!(handler(&replica).handle(&events).await, [Verdict::Done]);
        replica.until_backlog_is_empty().await;
        assert_eq!(rows_of(&replica, 7).await, 0);
        assert!(replica.consistent().await.is_empty());
        replica.stop().await;
    });
}

#[test]
fn events_come_over_the_bus_and_poison_holds_up_none() {
    for variable in ["TEST_NATS_URL", "TEST_KAFKA_BROKERS"] {
        let Some(address) = server(variable) else {
            continue;
        };
        let url = match variable {
            "TEST_KAFKA_BROKERS" => format!("kafka://{address}"),
            _ => address,
        };
        let url: BusUrl = url.parse().unwrap();
        on_every_database("accounts-bus", async |database| {
            let bus = Bus::from(url.clone());
            let topic = format!("accounts-{}", uuid::Uuid::new_v4());
            let subscription = Subscription {
                topic: topic.clone(),
                group: ACCOUNTS_GROUP.into(),
            };
            let replica = Replica::start(&database, &Tuning::default()).await;
            replica.follow(7, "heist").await;
            replica.follow(8, "heist").await;
            let group = replica.supervisor.group("incoming");
            let producer = Producer::start(&group, "producer", &bus, &[topic.as_str()]);
            let payload = AccountDeleted { user_id: 7 }.to_payload();
            let events = vec![event(&topic, 7, b"poison"), event(&topic, 7, &payload)];
            producer.publish(events).await.unwrap();
            // It begins after the events, and reads from the earliest.
            let handler = Arc::new(handler(&replica));
            let _consumer = consume(&group, "account-consumer", &bus, subscription, handler);
            until("the user is forgotten", async || {
                rows_of(&replica, 7).await == 0
            })
            .await;
            assert_eq!(rows_of(&replica, 8).await, 1);
            replica.stop().await;
        });
    }
}
