//! How fast a route was lately, and how long its messages took: over the last half a minute to a minute, so that an old
//! outage does not colour the figures for ever.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// How long one of the two spans lasts that are looked at together.
const SPAN: Duration = Duration::from_secs(30);
/// Latencies above it count as this.
const MAX_MICROS: u64 = 3_600_000_000;
/// How exact latencies are: to a hundredth.
const DIGITS: u8 = 2;

/// What was delivered lately.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Recent {
    /// Messages a second.
    pub rate: f64,
    /// How long half of the messages took at most; zero where there was none, and so below.
    pub p50: Duration,
    /// How long nine of ten took at most.
    pub p90: Duration,
    /// How long 99 of 100 took at most.
    pub p99: Duration,
    /// How long 999 of 1,000 took at most.
    pub p999: Duration,
}

#[derive(Debug)]
struct Span {
    begun: Instant,
    latencies: Histogram<u64>,
}

/// The present span and the one before it.
#[derive(Debug)]
pub(super) struct Window {
    now: Span,
    before: Option<Span>,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            now: Span::new(now),
            before: None,
        }
    }

    pub(super) fn record(&mut self, now: Instant, messages: u64, latency: Duration) {
        self.turn(now);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(MAX_MICROS);
        let micros = micros.clamp(1, MAX_MICROS);
        self.now.latencies.saturating_record_n(micros, messages);
    }

    pub(super) fn recent(&mut self, now: Instant) -> Recent {
        self.turn(now);
        let before = self.before.as_ref();
        let begun = before.map_or(self.now.begun, |span| span.begun);
        let mut all = self.now.latencies.clone();
        if let Some(before) = before {
            all += &before.latencies;
        }
        if all.is_empty() {
            return Recent::default();
        }
        let quantile = |quantile| Duration::from_micros(all.value_at_quantile(quantile));
        // A route that has just started is not said to be fast for its first messages.
        let seconds = (now - begun).as_secs_f64().max(1.0);
        Recent {
            rate: all.len() as f64 / seconds,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
        }
    }

    /// Begins a new span where the present one is over.
    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.now.begun);
        if age < SPAN {
            return;
        }
        let ended = std::mem::replace(&mut self.now, Span::new(now));
        self.before = (age < 2 * SPAN).then_some(ended);
    }
}

impl Span {
    fn new(begun: Instant) -> Self {
        let latencies = Histogram::new_with_bounds(1, MAX_MICROS, DIGITS);
        Self {
            begun,
            latencies: latencies.expect("the bounds are constants that make a histogram"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_the_last_minute() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(start);
        assert_eq!(window.recent(start), Recent::default());
        window.record(after(1), 99, Duration::from_millis(10));
        window.record(after(1), 1, Duration::from_secs(2));
        let recent = window.recent(after(10));
        assert_eq!(recent.rate, 10.0);
        let near = |latency: Duration, millis: u64| {
            latency.as_millis().abs_diff(millis.into()) <= u128::from(millis / 50)
        };
        assert!(near(recent.p50, 10) && near(recent.p99, 10), "{recent:?}");
        assert!(near(recent.p999, 2_000), "{recent:?}");
        window.record(after(31), 100, Duration::from_millis(1));
        let recent = window.recent(after(40));
        assert_eq!(recent.rate, 5.0);
        assert!(near(recent.p90, 10), "{recent:?}");
        assert!(near(window.recent(after(62)).p90, 1));
        assert_eq!(window.recent(after(200)), Recent::default());
    }

    #[test]
    fn a_latency_beyond_the_bounds_counts_as_the_bound() {
        let start = Instant::now();
        let mut window = Window::new(start);
        window.record(start, 1, Duration::MAX);
        window.record(start, 1, Duration::ZERO);
        let recent = window.recent(start);
        assert!(recent.p50 <= Duration::from_micros(1), "{recent:?}");
        assert!(recent.p999 >= Duration::from_secs(3_500), "{recent:?}");
    }
}
