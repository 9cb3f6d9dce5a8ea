//! The relay between every pair of brokers: librdkafka's mock cluster or a real Kafka, and the embedded broker or a real
//! nats-server.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what is shared by tests fails as they do"
)]

mod cases;
mod crash;
mod credentials;
mod events;
mod health;
mod kafka;
mod nats;
mod overload;
mod refusals;
mod remade;
mod scene;
mod secured;
mod stranger;

use scene::Pair;

/// One test for each case and pair of brokers, so that a failure names both.
macro_rules! over_every_pair {
    ($($file:ident::$case:ident)*) => {
        mod mock_embedded {
            $(#[actix::test] async fn $case() {
                super::$file::$case(super::Pair::of(false, false).await.unwrap()).await;
            })*
        }
        mod mock_nats_server {
            $(#[actix::test] async fn $case() {
                if let Some(pair) = super::Pair::of(false, true).await { super::$file::$case(pair).await; }
            })*
        }
        mod kafka_embedded {
            $(#[actix::test] async fn $case() {
                if let Some(pair) = super::Pair::of(true, false).await { super::$file::$case(pair).await; }
            })*
        }
        mod kafka_nats_server {
            $(#[actix::test] async fn $case() {
                if let Some(pair) = super::Pair::of(true, true).await { super::$file::$case(pair).await; }
            })*
        }
    };
}

over_every_pair! {
    cases::records_of_kafka_arrive_at_nats_once_and_in_order
    cases::messages_of_nats_arrive_at_kafka_once_and_in_order
    cases::what_goes_there_and_back_is_the_same
    cases::nothing_is_lost_while_nats_is_unavailable
    cases::nothing_is_lost_while_kafka_is_unavailable
    cases::nothing_is_lost_while_the_relay_is_stopped_again_and_again
    cases::a_record_that_cannot_be_mapped_becomes_a_dead_letter
    cases::many_dead_letters_hold_up_nothing
    cases::two_routes_lead_from_one_topic_into_one_stream
    cases::what_is_absent_is_waited_for
    cases::subjects_that_a_stream_does_not_have_are_waited_for
    cases::a_second_instance_is_ready_and_takes_over
    cases::an_instance_on_standby_looks_at_its_source
    cases::an_idle_relay_stops_in_time
    cases::topics_of_a_pattern_are_made_when_they_are_needed
    cases::a_route_makes_no_more_topics_than_it_can_write_to
    cases::what_waits_is_counted_while_kafka_is_unavailable
    events::events_of_the_bus_are_understood_at_the_other_side
    health::a_route_that_is_stuck_is_seen_until_it_goes_on
    refusals::what_a_stream_refuses_becomes_dead_letters_and_nothing_else_does
    refusals::what_kafka_refuses_becomes_a_dead_letter_and_nothing_else_does
    refusals::a_dead_letter_too_large_for_nats_is_cut_down
    refusals::a_dead_letter_too_large_for_kafka_is_cut_down
    refusals::what_no_server_takes_becomes_dead_letters
    refusals::headers_that_cannot_be_read_make_dead_letters
    refusals::headers_that_cannot_be_read_are_no_outputs
    overload::messages_are_fetched_by_their_bytes
    crash::records_of_kafka_outlive_crashes_of_the_relay
    crash::messages_of_nats_outlive_crashes_of_the_relay
    crash::an_instance_that_was_paused_repeats_nothing
    crash::an_instance_that_was_paused_at_work_repeats_little
}
