//! Looking up which replicas a service has, again and again, and keeping a task for each of them.

use std::{
    collections::{HashMap, HashSet},
    future, io,
    sync::Arc,
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::async_trait;

use super::{
    replica::Replica,
    replicas::{Replicas, Unreachable},
};
use crate::{
    service_address::{Found, Hosts, Located},
    tls::GrpcTls,
};

/// How many replicas of a service are used.
const MAX_REPLICAS: usize = 128;
/// How long one look may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the replicas of a service are looked up.
#[async_trait]
pub(crate) trait Lookup: Send + Sync + 'static {
    /// All replicas that there are now. Connected ones of places that cannot be looked up just now stay.
    async fn look_up(&self) -> io::Result<Found>;

    /// Waits until another look may find others: for `interval`, unless the one who knows them says when they change.
    async fn changed(&self, interval: Duration);
}

#[async_trait]
impl Lookup for Hosts {
    async fn look_up(&self) -> io::Result<Found> {
        self.look_up().await
    }

    async fn changed(&self, interval: Duration) {
        match self.can_change() {
            true => sleep(interval).await,
            false => future::pending().await,
        }
    }
}

/// How often replicas are looked up.
#[derive(Debug, Clone, Copy)]
pub(in crate::grpc) struct Pace {
    /// While all is well.
    pub(in crate::grpc) interval: Duration,
    /// At least, however often one is lost.
    pub(in crate::grpc) pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            pause: Duration::from_millis(500),
        }
    }
}

/// Looks replicas up, and keeps each of them connected; not before they are first needed.
pub(super) async fn run(
    lookup: Arc<dyn Lookup>,
    pace: Pace,
    tls: Option<GrpcTls>,
    replicas: Arc<Replicas>,
) {
    let mut running: HashMap<Located, (Arc<Replica>, DropGuard)> = HashMap::new();
    replicas.lookup_wanted.notified().await;
    loop {
        let found = timeout(LOOKUP_TIMEOUT, lookup.look_up()).await;
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the look-up took too long");
        match found.unwrap_or_else(|_| Err(late())) {
            Ok(found) => {
                let connected = running
                    .iter()
                    .filter(|(_, (replica, _))| replicas.is_connected(replica.id))
                    .map(|(located, _)| located.clone());
                let found = chosen(found, &connected.collect());
                running.retain(|located, _| found.contains(located));
                let all = found.into_iter().map(|located| {
                    let (replica, _) = running.entry(located).or_insert_with_key(|located| {
                        begin(located.clone(), tls.as_ref(), &replicas)
                    });
                    replica.clone()
                });
                replicas.found(all.collect());
            }
            Err(error) => replicas.not_found(Unreachable::because(error)),
        }
        sleep(pace.pause).await;
        tokio::select! {
            () = replicas.lookup_wanted.notified() => {}
            () = lookup.changed(pace.interval.saturating_sub(pace.pause)) => {}
        }
    }
}

/// The replicas that are used of those that were found, and of the connected ones.
fn chosen(found: Found, connected: &HashSet<Located>) -> Vec<Located> {
    let Found {
        replicas: mut chosen,
        unresolved,
    } = found;
    for located in connected {
        let is_found = chosen.iter().any(|other| other.socket == located.socket);
        if !is_found && unresolved.contains(&located.authority) {
            chosen.push(located.clone());
        }
    }
    // Those that are connected stay.
    chosen.sort_by_key(|located| !connected.contains(located));
    chosen.truncate(MAX_REPLICAS);
    chosen
}

/// Begins to keep a replica connected, until the guard is dropped.
fn begin(
    located: Located,
    tls: Option<&GrpcTls>,
    replicas: &Arc<Replicas>,
) -> (Arc<Replica>, DropGuard) {
    let replica = Arc::new(Replica::new(located, tls.cloned()));
    let stop = CancellationToken::new();
    let (stopped, keeping) = (
        stop.clone(),
        replica.clone().keep_connected(replicas.clone()),
    );
    tokio::spawn(async move { stopped.run_until_cancelled(keeping).await });
    (replica, stop.drop_guard())
}
