//! The broker as clients see it. The same tests run against a real nats-server when `TEST_NATS_URL` names one, so that
//! they say what the protocol is and not what this broker happens to do.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of tests fail as the tests do"
)]

mod access;
mod advisories;
mod batches;
mod bounds;
mod bytes;
mod command;
mod consumer_settings;
mod consumers;
mod core;
mod counters;
mod crash;
mod domain;
mod embedded;
mod given_up;
mod lame_duck;
mod message_trace;
mod messages;
mod monitoring;
mod operators;
mod priorities;
mod push;
mod retention;
mod schedules;
mod security;
mod server;
mod slow;
mod statuses;
mod stream_api;
mod stream_kinds;
mod stream_lifetimes;
mod streams;
mod supervised;
mod tls;
mod users;
