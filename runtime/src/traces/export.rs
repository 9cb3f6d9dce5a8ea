//! What goes to the collector, and what does not: spans wait in a queue that has an end, the product never waits for it, and those that
//! are lost are counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    metrics::{Description, Kind, Metrics},
    supervision::Dependency,
};
use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

/// So many spans wait, those that are being sent included; further ones are dropped.
const QUEUE: usize = 8_192;

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

/// Counts what the collector takes, and tells the log when it is unavailable and when it is back.
#[derive(Debug)]
pub(super) struct Counted<E> {
    exporter: E,
    counts: SpanCounts,
    collector: Arc<Dependency>,
}

impl<E> Counted<E> {
    pub(super) fn new(exporter: E, counts: SpanCounts, collector: Arc<Dependency>) -> Self {
        Self {
            exporter,
            counts,
            collector,
        }
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.exporter.export(batch).await;
        self.counts.leave(spans, sent.is_ok());
        match &sent {
            Ok(()) => self.collector.available(),
            Err(error) => self.collector.unavailable(error),
        }
        sent
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
}
