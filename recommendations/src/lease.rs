//! The lease on the work that only one replica may do, and which shards of others are free.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::store::{
    leases::Lease,
    shards::{NOBODY, Shard},
};

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

    /// For how long the lease has been seen as `lease` is, which another holds.
    pub fn unrenewed_for(&self, lease: &Lease, now: Instant) -> Option<Duration> {
        let (_, since) = self.seen.as_ref().filter(|(seen, _)| seen == lease)?;
        Some(now.duration_since(*since))
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

/// What one replica knows of the shards of all. As with the lease, it goes by its own monotonic clock.
#[derive(Debug)]
pub struct ShardView {
    me: String,
    patience: Duration,
    /// Of each shard of another its owner, and since when it has been seen with that owner.
    seen: HashMap<String, (String, Instant)>,
}

impl ShardView {
    /// The view of the replica `me`. A shard that another has for longer than `patience` is taken from it.
    pub fn new(me: &str, patience: Duration) -> Self {
        Self {
            me: me.into(),
            patience,
            seen: HashMap::new(),
        }
    }

    /// Those of `shards`, which are all there are, that this replica has to work on: its own, those that were given up, and
    /// those of replicas that seem to be gone.
    pub fn to_do(&mut self, shards: Vec<Shard>, now: Instant) -> Vec<Shard> {
        let mut seen = HashMap::new();
        let is_to_do = |shard: &Shard| {
            if shard.owner == self.me || shard.owner == NOBODY {
                return true;
            }
            let before = self.seen.remove(&shard.id);
            let before = before.filter(|(owner, _)| *owner == shard.owner);
            let (owner, since) = before.unwrap_or_else(|| (shard.owner.clone(), now));
            seen.insert(shard.id.clone(), (owner, since));
            now.duration_since(since) >= self.patience
        };
        let to_do = shards.into_iter().filter(is_to_do).collect();
        self.seen = seen;
        to_do
    }
}

/// What this replica may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// What all replicas do.
    Shares,
    /// Also what only one may do, until then.
    HoldsUntil(Instant),
    /// It is about to stop, and begins nothing.
    Leaves,
}

/// Tells what this replica may do.
#[derive(Debug, Clone)]
pub struct Held(watch::Receiver<Standing>);

/// Says what this replica may do.
pub type Holding = watch::Sender<Standing>;

impl Held {
    /// A lease that is not held, and the way to say that it is.
    pub fn new() -> (Holding, Self) {
        let (holding, held) = watch::channel(Standing::Shares);
        (holding, Self(held))
    }

    /// Whether this replica holds the lease at the moment.
    pub fn is_held(&self) -> bool {
        is_held(&self.0.borrow())
    }

    /// Whether this replica is about to stop.
    pub fn is_leaving(&self) -> bool {
        *self.0.borrow() == Standing::Leaves
    }

    /// Waits until this replica holds the lease.
    pub async fn held(&mut self) {
        if self.0.wait_for(is_held).await.is_err() {
            // The lease is not taken any more: the service is stopping.
            std::future::pending::<()>().await;
        }
    }
}

fn is_held(standing: &Standing) -> bool {
    matches!(standing, Standing::HoldsUntil(until) if Instant::now() < *until)
}

#[cfg(test)]
mod tests {
    use proto::{FilmId, UserId};

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
        let unrenewed = me.unrenewed_for(&lease("third", 2), at(14));
        assert_eq!(unrenewed, Some(Duration::from_secs(5)));
        assert_eq!(me.unrenewed_for(&lease("", 3), at(14)), None);
    }

    #[test]
    fn a_shard_of_another_is_taken_when_it_was_seen_with_it_for_long() {
        let shard = |id: &str, owner: &str| Shard {
            id: id.into(),
            film: FilmId::stored("f1"),
            first: UserId(1),
            last: UserId(9),
            owner: owner.into(),
        };
        let mut me = ShardView::new("me", Duration::from_secs(4));
        let start = Instant::now();
        let mut to_do = |seconds, shards: &[Shard]| {
            let now = start + Duration::from_secs(seconds);
            let to_do = me.to_do(shards.to_vec(), now).into_iter();
            to_do.map(|shard| shard.id).collect::<Vec<_>>()
        };
        let (mine, free) = (shard("a", "me"), shard("b", NOBODY));
        let other = shard("c", "other");
        assert_eq!(to_do(0, &[mine, free, other.clone()]), ["a", "b"]);
        assert_eq!(to_do(3, &[other.clone(), shard("d", "other")]), [""; 0]);
        assert_eq!(to_do(4, &[other, shard("d", "other")]), ["c"]);
        assert_eq!(
            to_do(6, &[shard("c", "third")]),
            [""; 0],
            "it has changed hands"
        );
        assert_eq!(to_do(9, &[shard("c", "third")]), [""; 0]);
        assert_eq!(to_do(10, &[shard("c", "third")]), ["c"]);
    }
}
