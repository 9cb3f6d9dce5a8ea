//! Supervised actors: what restarts an actor, and what callers hold meanwhile.
//!
//! ```text
//! Supervisor (one a service)
//!   └ Group (actors that fail together)
//!       └ child: factory + Handle + ChildGuard
//! ```
//!
//! A child that dies is restarted after an exponential, jittered delay. A child that dies too often
//! has its whole group restarted; a group that is restarted too often makes the supervisor give up, and
//! the process ends with a code that is not zero, for the orchestrator to start it again.

mod backoff;
mod child;
mod child_guard;
mod dependency;
mod handle;
#[cfg(debug_assertions)]
pub(crate) mod panic_injection;
mod registry;
mod requested;
mod supervisor;
mod tree;
mod wake;

pub use backoff::Backoff;
pub use child_guard::panic_message;
pub use child_guard::{ChildGuard, Reporter};
pub use dependency::Dependency;
pub use handle::{AskError, Handle};
pub use registry::{ActorRegistry, ActorState, ActorStatus, Health};
pub use requested::{InScope, RequestScope, Requested, in_request};
pub use supervisor::{Group, Place, RestartPolicy, Supervisor};
pub use wake::Wake;
