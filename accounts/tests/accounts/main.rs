//! The accounts service over every database there is: people, sessions, tokens, and what replicas tell each other.

// `cfg(test)` is always true here; it tells clippy that the panics are meant.
#[cfg(test)]
mod support;

#[cfg(test)]
mod entrance;

#[cfg(test)]
mod sign_in;

#[cfg(test)]
mod sessions;

#[cfg(test)]
mod account;

#[cfg(test)]
mod email;

#[cfg(test)]
mod provider;

#[cfg(test)]
mod second_factor;

#[cfg(test)]
mod admin;

#[cfg(test)]
mod events;

#[cfg(test)]
mod upkeep;
