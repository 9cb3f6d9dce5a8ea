//! The lease on the work that only one replica may do.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::store::leases::Lease;

/// How often the holder renews the lease, and how long others wait for a renewal.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// Between two renewals.
    pub renewal: Duration,
    /// A lease that was not renewed for so long is free.
    pub patience: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            renewal: Duration::from_millis(500),
            patience: Duration::from_secs(4),
        }
    }
}

/// What one replica knows of the lease. It goes by its own monotonic clock only: no replica has to
/// know what time it is for another.
#[derive(Debug)]
pub struct LeaseView {
    me: String,
    patience: Duration,
    seen: Option<(Lease, Instant)>,
}

impl LeaseView {
    /// The view of the replica `me`.
    pub fn new(me: &str, patience: Duration) -> Self {
        Self {
            me: me.into(),
            patience,
            seen: None,
        }
    }

    /// Whether to take or renew the lease, now that it was read as `lease`.
    pub fn should_take(&mut self, lease: &Lease, now: Instant) -> bool {
        if lease.holder == self.me || lease.holder.is_empty() {
            return true;
        }
        match &self.seen {
            Some((seen, since)) if seen == lease => now.duration_since(*since) >= self.patience,
            _ => {
                self.seen = Some((lease.clone(), now));
                false
            }
        }
    }
}

/// Tells until when this replica holds the lease.
#[derive(Debug, Clone)]
pub struct Held(watch::Receiver<Option<Instant>>);

/// Says until when this replica holds the lease.
pub type Holding = watch::Sender<Option<Instant>>;

impl Held {
    /// A lease that is not held, and the way to say that it is.
    pub fn new() -> (Holding, Self) {
        let (holding, held) = watch::channel(None);
        (holding, Self(held))
    }

    /// Whether this replica holds the lease at the moment.
    pub fn is_held(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this replica holds the lease.
    pub async fn held(&mut self) {
        let valid = |until: &Option<Instant>| until.is_some_and(|until| Instant::now() < until);
        if self.0.wait_for(valid).await.is_err() {
            // The lease is not taken any more: the service is stopping.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, beat: i64) -> Lease {
        Lease {
            holder: holder.into(),
            beat,
        }
    }

    #[test]
    fn a_free_lease_and_ones_own_are_taken_at_once() {
        let mut me = LeaseView::new("me", Duration::from_secs(5));
        assert!(me.should_take(&lease("", 0), Instant::now()));
        assert!(me.should_take(&lease("me", 7), Instant::now()));
    }

    #[test]
    fn the_lease_of_another_is_taken_when_it_was_not_renewed_for_long() {
        let mut me = LeaseView::new("me", Duration::from_secs(5));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!me.should_take(&lease("other", 1), at(0)));
        assert!(!me.should_take(&lease("other", 1), at(4)));
        assert!(!me.should_take(&lease("other", 2), at(5)), "it was renewed");
        assert!(
            !me.should_take(&lease("third", 2), at(9)),
            "it has changed hands"
        );
        assert!(!me.should_take(&lease("third", 2), at(13)));
        assert!(me.should_take(&lease("third", 2), at(14)));
    }
}
