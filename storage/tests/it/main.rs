//! Storage from outside, over SQLite and, where `TEST_MYSQL_URL` names a server, over MySQL.

// `cfg(test)` is always true here; it tells clippy that the panics are meant.
#[cfg(test)]
mod support;

#[cfg(test)]
mod addresses;

#[cfg(test)]
mod group_commit;

#[cfg(test)]
mod commands;

#[cfg(test)]
mod faults;

#[cfg(test)]
mod unavailable;

#[cfg(test)]
mod replicas;

#[cfg(test)]
mod schemas;

#[cfg(test)]
mod lost;

#[cfg(test)]
mod figures;
