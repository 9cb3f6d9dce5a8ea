//! The recommendations service from outside, over SQLite and, where `TEST_MYSQL_URL` names a
//! server, over MySQL.

// `cfg(test)` is always true here; it tells clippy that the panics are meant.
#[cfg(test)]
mod support;

#[cfg(test)]
mod rpcs;

#[cfg(test)]
mod bad_requests;

#[cfg(test)]
mod versions;

#[cfg(test)]
mod convergence;

#[cfg(test)]
mod concurrency;

#[cfg(test)]
mod fan_out;

#[cfg(test)]
mod shards;

#[cfg(test)]
mod backlog;

#[cfg(test)]
mod outbox;

#[cfg(test)]
mod watches;

#[cfg(test)]
mod order;

#[cfg(test)]
mod groups;

#[cfg(test)]
mod legacy;

#[cfg(test)]
mod accounts;

#[cfg(test)]
mod marks;

#[cfg(test)]
mod finding;

#[cfg(test)]
mod wire;

#[cfg(test)]
mod figures;
