//! A figure that may be unknown. What is not known is absent from `/metrics`: an old number would pass for the present one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A figure that is known, known for a while, or unknown. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<Mutex<Option<Known>>>);

#[derive(Debug, Clone, Copy)]
struct Known {
    value: f64,
    /// None while somebody keeps it up to date.
    until: Option<Instant>,
}

impl Known {
    fn at(self, now: Instant) -> Option<f64> {
        let is_old = self.until.is_some_and(|until| now >= until);
        (!is_old).then_some(self.value)
    }
}

impl Gauge {
    /// The figure is `value` until something else is said.
    pub fn set(&self, value: f64) {
        self.put(Some(Known { value, until: None }));
    }

    /// The figure is `value`, and is unknown again when nothing else is said for so long.
    pub fn set_for(&self, value: f64, lasting: Duration) {
        let until = Some(Instant::now() + lasting);
        self.put(Some(Known { value, until }));
    }

    /// The figure is unknown.
    pub fn clear(&self) {
        self.put(None);
    }

    /// The figure, if it is known.
    pub fn value(&self) -> Option<f64> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known?.at(Instant::now())
    }

    fn put(&self, known: Option<Known>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_not_renewed_is_unknown() {
        let (now, moment) = (Instant::now(), Duration::from_secs(1));
        let known = Known {
            value: 7.0,
            until: Some(now + moment),
        };
        assert_eq!(known.at(now), Some(7.0));
        assert_eq!(known.at(now + moment), None);
        let gauge = Gauge::default();
        assert_eq!(gauge.value(), None);
        gauge.set(3.0);
        assert_eq!(gauge.value(), Some(3.0));
        gauge.clear();
        assert_eq!(gauge.value(), None);
    }
}
