//! The broker as clients see it. The same tests run against a real nats-server when `TEST_NATS_URL` names one, so that
//! they say what the protocol is and not what this broker happens to do.

mod core;
mod crash;
mod embedded;
mod jetstream;
mod server;
