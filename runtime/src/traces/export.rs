//! What goes to the collector, and what does not: spans wait in a queue that has an end, also while the collector is unavailable. The
//! product never waits for it, and the spans that are lost are counted.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    metrics::{Description, Kind, Metrics},
    supervision::{Backoff, Dependency},
};
use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

/// So many spans wait, those that are being sent included; further ones are dropped.
const QUEUE: usize = 8_192;
/// How long the queue waits before it sends again what an unavailable collector did not take, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// The spans that wait, and what became of the others.
#[derive(Debug, Clone)]
pub(super) struct SpanCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicUsize,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    /// The log has been told that spans are dropped, since the collector took some.
    is_told: AtomicBool,
}

impl SpanCounts {
    /// No spans yet. They are shown among `metrics`.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counts = Arc::new(Counts::default());
        let description = Description {
            name: "marquee_trace_spans_total",
            help: "Spans that were sent to the collector, that could not be sent (failed), and that found no room to wait (dropped).",
            labels: &["outcome"],
            ..Description::default()
        };
        let read = counts.clone();
        metrics.read(Kind::Counter, &description, move |samples| {
            for (outcome, count) in [
                ("sent", &read.sent),
                ("failed", &read.failed),
                ("dropped", &read.dropped),
            ] {
                samples.add(&[outcome], count.load(Ordering::Relaxed) as f64);
            }
        });
        Self(counts)
    }

    /// Takes a place in the queue.
    fn enter(&self) -> bool {
        let counts = &*self.0;
        if counts.waiting.fetch_add(1, Ordering::Relaxed) < QUEUE {
            return true;
        }
        counts.waiting.fetch_sub(1, Ordering::Relaxed);
        counts.dropped.fetch_add(1, Ordering::Relaxed);
        if !counts.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                parent: None,
                "spans are dropped, because the collector of traces does not take them; how many is in `marquee_trace_spans_total`"
            );
        }
        false
    }

    fn leave(&self, spans: usize, were_sent: bool) {
        let counts = &*self.0;
        counts.waiting.fetch_sub(spans, Ordering::Relaxed);
        if were_sent {
            counts.sent.fetch_add(spans as u64, Ordering::Relaxed);
            counts.is_told.store(false, Ordering::Relaxed);
        } else {
            counts.failed.fetch_add(spans as u64, Ordering::Relaxed);
        }
    }
}

/// Gives spans to the queue as long as there is room.
#[derive(Debug)]
pub(super) struct Limited {
    queue: BatchSpanProcessor,
    counts: SpanCounts,
}

impl Limited {
    pub(super) fn new(exporter: impl SpanExporter + 'static, counts: SpanCounts) -> Self {
        // Its own queue is never full. When it sends is as the environment says.
        let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE);
        let queue = BatchSpanProcessor::builder(exporter);
        Self {
            queue: queue.with_batch_config(config.build()).build(),
            counts,
        }
    }
}

impl SpanProcessor for Limited {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.counts.enter() {
            self.queue.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// Sends spans again while the collector is unavailable, counts what it takes, and tells the log when it is unavailable and when it is
/// back.
#[derive(Debug)]
pub(super) struct Counted<E> {
    exporter: E,
    counts: SpanCounts,
    collector: Arc<Dependency>,
    ending: Ending,
}

impl<E> Counted<E> {
    pub(super) fn new(
        exporter: E,
        counts: SpanCounts,
        collector: Arc<Dependency>,
        ending: Ending,
    ) -> Self {
        Self {
            exporter,
            counts,
            collector,
            ending,
        }
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    /// Blocks the thread while it waits: the queue has one of its own.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        let mut is_last = false;
        loop {
            let sent = self.exporter.export(batch.clone()).await;
            match &sent {
                Ok(()) => self.collector.available(),
                Err(error) => self.collector.unavailable(reason(error)),
            }
            let is_over = sent.as_ref().err().is_none_or(|error| !is_passing(error));
            if is_over || is_last {
                self.counts.leave(batch.len(), sent.is_ok());
                return sent;
            }
            // Then it is tried once more: the collector may have come back meanwhile.
            is_last = self.ending.begins_within(backoff.next_delay());
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Why spans were not taken, without the names that the library has for itself.
pub(super) fn reason(error: &OTelSdkError) -> String {
    let text = error.to_string();
    match text.split_once("gRPC code: ") {
        Some((_, reason)) => reason.to_owned(),
        None => text,
    }
}

/// Whether the same spans may be taken later: the codes that OTLP names for it. The library tells the code in its words alone.
fn is_passing(error: &OTelSdkError) -> bool {
    const PASSING: [&str; 6] = [
        "Unavailable",
        "Cancelled",
        "DeadlineExceeded",
        "Aborted",
        "OutOfRange",
        "DataLoss",
    ];
    let reason = reason(error);
    let code = reason.split(':').next();
    code.is_some_and(|code| PASSING.contains(&code))
}

/// Whether the process ends: the collector is not waited for then.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<(Mutex<bool>, Condvar)>);

impl Ending {
    pub(super) fn begin(&self) {
        let (has_begun, news) = &*self.0;
        *has_begun.lock().unwrap_or_else(PoisonError::into_inner) = true;
        news.notify_all();
    }

    /// Waits so long for it, in this thread.
    fn begins_within(&self, time: Duration) -> bool {
        let (has_begun, news) = &*self.0;
        let has_begun = has_begun.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = news.wait_timeout_while(has_begun, time, |has_begun| !*has_begun);
        let (has_begun, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *has_begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_find_no_room_are_counted() {
        let metrics = Metrics::default();
        let counts = SpanCounts::new(&metrics);
        let entered = (0..QUEUE + 3).filter(|_| counts.enter()).count();
        assert_eq!(entered, QUEUE);
        counts.leave(10, true);
        counts.leave(5, false);
        assert_eq!((0..100).filter(|_| counts.enter()).count(), 15);
        let text = metrics.render();
        for line in [
            r#"marquee_trace_spans_total{outcome="dropped"} 88"#,
            r#"marquee_trace_spans_total{outcome="failed"} 5"#,
            r#"marquee_trace_spans_total{outcome="sent"} 10"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }

    /// A collector that answers so, one word after the other, and then takes everything.
    #[derive(Debug)]
    struct Answers(Mutex<Vec<&'static str>>);

    impl SpanExporter for Answers {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            match self.0.lock().unwrap().pop() {
                Some(code) => Err(OTelSdkError::InternalFailure(failed(code))),
                None => Ok(()),
            }
        }
    }

    fn failed(code: &str) -> String {
        format!("TonicTracesClient export failed with gRPC code: {code}: transport error")
    }

    async fn left_of(answers: &[&'static str], ending: &Ending) -> usize {
        let answers = Answers(Mutex::new(answers.to_vec()));
        let counts = SpanCounts::new(&Metrics::default());
        let collector = Arc::new(Dependency::new("the collector"));
        let exporter = Counted::new(answers, counts, collector, ending.clone());
        let _ = exporter.export(Vec::new()).await;
        exporter.exporter.0.into_inner().unwrap().len()
    }

    #[tokio::test]
    async fn spans_are_sent_again_only_if_the_collector_may_take_them_later() {
        let ending = Ending::default();
        assert_eq!(left_of(&["Cancelled", "Unavailable"], &ending).await, 0);
        for refused in ["InvalidArgument", "Unauthenticated", "Unimplemented"] {
            assert_eq!(left_of(&["Unavailable", refused], &ending).await, 1);
        }
        assert!(!is_passing(&OTelSdkError::AlreadyShutdown));
        assert!(!is_passing(&OTelSdkError::InternalFailure("?".into())));
    }

    #[tokio::test]
    async fn a_process_that_ends_does_not_wait_for_the_collector() {
        let ending = Ending::default();
        ending.begin();
        // It tries once more, without a pause.
        assert_eq!(left_of(&["Unavailable"; 3], &ending).await, 1);
    }
}
