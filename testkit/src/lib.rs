//! What tests of several crates share: a fake of each gRPC service, of Consul, of a mail server, of an identity provider and of a collector of traces, and a log, in memory, waiting until a condition holds, and the
//! servers that the environment names. Nothing of it is in a program.
#![expect(
    clippy::panic,
    reason = "a test that panics has failed, which is what it is for"
)]

mod accounts;
mod authority;
mod catalog;
mod collector;
mod consul;
mod identity_provider;
mod log;
mod proxy;
mod recommendations;
mod server;
mod smtp;

pub use accounts::{FakeAccounts, SETUP_CODE};
pub use authority::FakeAuthority;
pub use catalog::FakeCatalog;
pub use collector::{CollectedSpan, FakeCollector};
pub use consul::{AskedOfConsul, FakeConsul};
pub use identity_provider::{FakeIdentityProvider, FakePerson, IdentityFault};
pub use log::Log;
pub use proxy::Proxy;
pub use recommendations::{FakeRecommendations, Told};
pub use smtp::{CaughtMail, FakeMailServer, MailFault, MailTls};

use std::{
    env,
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

/// Why a lock can be taken.
pub(crate) const UNPOISONED: &str = "no call has panicked while it held the lock";

/// How long a test waits for what it expects.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The server that the environment names in `variable`. Without one the test is skipped, and says so.
///
/// # Panics
///
/// If there is none where CI requires servers.
pub fn server(variable: &str) -> Option<String> {
    let server = env::var(variable).ok().filter(|value| !value.is_empty());
    if server.is_none() {
        let test = thread::current().name().unwrap_or_default().to_owned();
        let is_required = env::var_os("CI_REQUIRE_SERVERS").is_some();
        assert!(!is_required, "{variable} is not set");
        // Past the test runner, which swallows what a passing test prints.
        let _ = writeln!(io::stderr(), "SKIPPED {test}: {variable} is not set");
    }
    server
}

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
