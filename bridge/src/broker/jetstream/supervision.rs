//! Keeps the tasks of streams alive. A stream that panics is recovered from its log, as at a start of the broker, and goes on with
//! the next command; what it was asked just then fails, and no other stream or client notices.
//!
//! A stream that panics again and again ends the broker instead, for its own supervisor to decide.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::FutureExt;
use runtime::{Backoff, supervision::panic_message};
use tokio::time::sleep;

use super::recovery::{Recovery, recover};
use super::stream::{Inbox, Stream};

/// Panics within the window that are one too many.
const MAX_PANICS: usize = 6;
const WINDOW: Duration = Duration::from_secs(120);
const FIRST_DELAY: Duration = Duration::from_millis(10);
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// Runs a stream until it is told to stop or is deleted. Returns its name.
///
/// # Panics
/// When the stream panics too often, or cannot be recovered.
pub(super) async fn keep_running(
    mut stream: Stream,
    mut inbox: Inbox,
    recovery: Recovery,
) -> String {
    let mut panics = VecDeque::new();
    let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
    loop {
        let running = AssertUnwindSafe(stream.serve(&mut inbox)).catch_unwind();
        let Err(panic) = running.await else {
            inbox.close();
            return stream.state.config.name;
        };
        let name = stream.state.config.name.clone();
        let cause = panic_message(&*panic);
        tracing::error!(stream = name, cause, "a stream panicked and is recovered");
        stream.stats.stream_restarts.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        panics.retain(|past| now.duration_since(*past) < WINDOW);
        panics.push_back(now);
        if panics.len() > MAX_PANICS {
            tracing::error!(stream = name, "a stream panics again and again");
            resume_unwind(panic);
        }
        sleep(backoff.next_delay()).await;
        stream = match recovered(stream, recovery.clone()).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::error!(stream = name, %error, "cannot recover a stream that panicked");
                resume_unwind(panic);
            }
        };
    }
}

/// The stream that its log holds. One that is in memory alone keeps its state.
async fn recovered(mut broken: Stream, recovery: Recovery) -> io::Result<Stream> {
    // The log is read when nothing is on its way to it any more.
    if let Some(outcome) = broken.outcome.take() {
        let _ = outcome.await;
    }
    // Its state may be what made it panic.
    let _ = catch_unwind(AssertUnwindSafe(|| broken.abandon()));
    let (syncer, router) = (broken.syncer.clone(), broken.router.clone());
    let (stats, usage) = (broken.stats.clone(), broken.usage.clone());
    let (state, log) = if broken.log.is_in_memory() {
        let mut state = broken.state;
        // What was taken in when it panicked may be in no message.
        state.duplicates.forget_behind(state.messages.last_seq);
        (state, broken.log)
    } else {
        let dir = broken.log.dir().to_owned();
        drop(broken);
        let recover = move || recover(dir, &recovery);
        let recovered = tokio::task::spawn_blocking(recover).await;
        let recovered = recovered.map_err(io::Error::other)??;
        recovered.ok_or_else(|| io::Error::other("there is no stream in the log"))?
    };
    Ok(Stream::new(state, log, syncer, router, stats, usage))
}
