//! Whole-system tests: the real programs in processes of their own, seen from outside, over every
//! database and broker that the machine has.
//!
//! `support` is the harness. Real servers are named by `TEST_MYSQL_URL`, `TEST_NATS_URL` and
//! `TEST_KAFKA_BROKERS` (with `TEST_KAFKA_RELAYED`, an address of it behind a relay), a library that fakes the
//! time of day by `TEST_FAKETIME`; where one is absent its part is skipped, loudly, unless
//! `CI_REQUIRE_SERVERS` is set, when that is an error.

// `cfg(test)` is always true here; it tells clippy that the panics are meant.
#[cfg(test)]
mod support;

#[cfg(test)]
mod main_flow;

#[cfg(test)]
mod accounts;

#[cfg(test)]
mod health;

#[cfg(test)]
mod observability;

#[cfg(test)]
mod sample;

#[cfg(test)]
mod replicas;

#[cfg(test)]
mod consul;

#[cfg(test)]
mod ending;

#[cfg(test)]
mod outages;

#[cfg(test)]
mod backup;

#[cfg(test)]
mod certificates;

#[cfg(test)]
mod doctor;

#[cfg(test)]
mod panics;

#[cfg(test)]
mod secrets;

#[cfg(test)]
mod settings;

#[cfg(test)]
mod traces;

#[cfg(test)]
mod logs;

#[cfg(test)]
mod crash;
