//! Panics on demand, so that tests of the running program can see each of its actors die and come
//! back. Not part of what is shipped: builds without debug assertions lack this file.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

/// The environment variable that has to be `1` for requests to make actors panic.
const VARIABLE: &str = "MARQUEE_INJECT_PANICS";

/// Whether this process lets its actors be made to panic.
pub(crate) fn is_enabled() -> bool {
    env::var_os(VARIABLE).is_some_and(|value| value == "1")
}

/// What one actor stumbles over, once each time it is drawn.
#[derive(Debug, Default)]
pub(super) struct PanicInjector {
    drawn: AtomicBool,
    noticed: Notify,
}

impl PanicInjector {
    /// The actor panics at its next step.
    pub(super) fn draw(&self) {
        self.drawn.store(true, Ordering::Relaxed);
        self.noticed.notify_one();
    }

    /// Panics if it is drawn: for actors that only wake when they are asked something.
    #[expect(clippy::panic, reason = "this is what it is for")]
    pub(super) fn step(&self) {
        if self.drawn.swap(false, Ordering::Relaxed) {
            panic!("made to panic by a test");
        }
    }

    /// Panics when it is drawn: spawned into the context of an actor.
    pub(super) async fn wait(self: Arc<Self>) {
        loop {
            self.noticed.notified().await;
            self.step();
        }
    }
}
