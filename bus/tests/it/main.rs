//! The same suite over every bus: Kafka's protocol against librdkafka's mock cluster, the embedded
//! broker, and real servers where the environment names them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what is shared by tests fails as they do"
)]

mod buses;
mod cases;
mod kafka_only;
mod nats_only;
mod scene;
mod token;

use buses::Bus;

/// One test for each case and bus, so that a failure names both.
macro_rules! on_every_bus {
    ($($case:ident)*) => {
        mod kafka_mock {
            $(#[actix::test] async fn $case() { super::cases::$case(super::Bus::kafka_mock()).await; })*
        }
        mod nats_embedded {
            $(#[actix::test] async fn $case() { super::cases::$case(super::Bus::embedded().await).await; })*
        }
        mod kafka_real {
            $(#[actix::test] async fn $case() {
                if let Some(bus) = super::Bus::kafka_real() { super::cases::$case(bus).await; }
            })*
        }
        mod nats_real {
            $(#[actix::test] async fn $case() {
                if let Some(bus) = super::Bus::nats_real().await { super::cases::$case(bus).await; }
            })*
        }
    };
}

on_every_bus! {
    events_arrive_as_they_were_published
    events_of_a_key_keep_their_order
    a_published_batch_outlives_its_producer
    a_published_batch_outlives_a_crash
    a_dead_letter_has_its_reason_and_the_next_event_is_processed
    an_event_at_which_the_handler_panics_becomes_a_dead_letter
    a_retry_keeps_the_order
    a_consumer_that_is_restarted_goes_on_where_it_stopped
    consumers_of_a_group_share_the_events_in_order
    a_broker_that_becomes_unavailable_and_comes_back_loses_nothing
    a_broker_that_comes_late_is_waited_for
    an_event_that_is_too_large_is_refused_and_the_next_is_published
    what_is_published_and_consumed_is_counted
    what_waits_for_a_consumer_is_a_figure
    events_that_were_deleted_before_they_were_consumed_are_reported
}
