//! Supervised actors: who restarts whom, and what callers hold meanwhile.
//!
//! ```text
//! Warden (one a service)
//!   └ Group (actors that fail together)
//!       └ child: factory + Handle + Lifeline
//! ```
//!
//! A child that dies is made anew after an exponential, jittered delay. A child that dies too often
//! has its whole group restarted; a group that is restarted too often makes the warden give up, and
//! the process ends with a code that is not zero, for the orchestrator to start it again.

mod backoff;
mod board;
mod child;
mod dependency;
mod handle;
mod lifeline;
mod tree;
#[cfg(debug_assertions)]
pub(crate) mod tripwire;
mod warden;

pub use backoff::Backoff;
pub use board::{ActorReport, ActorState, Board, Health};
pub use dependency::Dependency;
pub use handle::{AskError, Handle};
pub use lifeline::panic_message;
pub use lifeline::{Lifeline, Reporter};
pub use warden::{Group, Place, RestartPolicy, Warden};
