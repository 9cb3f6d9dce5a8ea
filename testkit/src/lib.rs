//! What tests of several crates share: a fake of each gRPC service, in memory, and waiting until a
//! condition holds. Nothing of it is in a program.
#![expect(
    clippy::panic,
    reason = "a test that panics has failed, which is what it is for"
)]

mod catalog;
mod proxy;
mod recommendations;
mod server;

pub use catalog::FakeCatalog;
pub use proxy::Proxy;
pub use recommendations::{FakeRecommendations, Told};

use std::time::{Duration, Instant};

/// Why a lock can be taken.
pub(crate) const UNPOISONED: &str = "no call has panicked while it held the lock";

/// How long a test waits for what it expects.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `holds`, at most [`LIMIT`].
///
/// # Panics
///
/// If it does not come about.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        // Until the next question.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
