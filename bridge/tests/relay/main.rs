//! The relay between every pair of brokers: librdkafka's mock cluster or a real Kafka, and the embedded broker or a real
//! nats-server.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "what is shared by tests fails as they do"
)]

mod cases;
mod kafka;
mod nats;
mod scene;

use scene::Pair;

/// One test for each case and pair of brokers, so that a failure names both.
macro_rules! over_every_pair {
    ($($case:ident)*) => {
        mod mock_embedded {
            $(#[actix::test] async fn $case() {
                super::cases::$case(super::Pair::of(false, false).await.unwrap()).await;
            })*
        }
        mod mock_nats_server {
            $(#[actix::test] async fn $case() {
                if let Some(pair) = super::Pair::of(false, true).await { super::cases::$case(pair).await; }
            })*
        }
        mod kafka_embedded {
            $(#[actix::test] async fn $case() {
                if let Some(pair) = super::Pair::of(true, false).await { super::cases::$case(pair).await; }
            })*
        }
        mod kafka_nats_server {
            $(#[actix::test] async fn $case() {
                if let Some(pair) = super::Pair::of(true, true).await { super::cases::$case(pair).await; }
            })*
        }
    };
}

over_every_pair! {
    records_of_kafka_arrive_at_nats_once_and_in_order
    messages_of_nats_arrive_at_kafka_once_and_in_order
    what_goes_there_and_back_is_the_same
    nothing_is_lost_while_nats_is_unavailable
    nothing_is_lost_while_the_relay_is_stopped_again_and_again
    a_record_that_cannot_be_mapped_becomes_a_dead_letter
}
