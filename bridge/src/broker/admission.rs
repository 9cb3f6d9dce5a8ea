//! Places for clients: many for those that have introduced themselves, few for those that have not.
//!
//! A client that stays silent never keeps another one out: when the few places are taken, the next has that of the client
//! which has been silent for longest, of those from where most of them come.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::clients::Client;
use super::closing::Closing;
use super::throttle::Throttle;

/// How many failed logins and refused operations stand in the log in a minute, at most.
const REFUSALS_LOGGED: u32 = 100;

/// The places of one broker.
#[derive(Debug)]
pub(super) struct Admission {
    max_unauthenticated: usize,
    state: Mutex<State>,
    refusals: Throttle,
    /// What clients ask for that they may not do.
    pub(super) violations: Throttle,
    failures: Throttle,
    failed_handshakes: Throttle,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they came.
    unauthenticated: VecDeque<Unauthenticated>,
    admitted: usize,
}

#[derive(Debug)]
struct Unauthenticated {
    client_id: u64,
    origin: IpAddr,
    lost: CancellationToken,
}

/// The address that a client counts for. Who has one of the sixth version has very many.
pub(super) fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

impl State {
    /// Who gives way to one from `newcomer`.
    fn place_to_give_up(&self, newcomer: IpAddr) -> Option<usize> {
        let mut counts = HashMap::from([(newcomer, 1)]);
        for client in &self.unauthenticated {
            *counts.entry(client.origin).or_insert(0) += 1;
        }
        let most = counts.values().max();
        let mut clients = self.unauthenticated.iter();
        clients.position(|client| counts.get(&client.origin) == most)
    }
}

/// The place of one client, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    client_id: u64,
    admitted: Arc<AtomicBool>,
    lost: CancellationToken,
}

impl Admission {
    pub(super) fn new(max_unauthenticated: usize) -> Self {
        Admission {
            max_unauthenticated: max_unauthenticated.max(1),
            state: Mutex::default(),
            refusals: Throttle::new(REFUSALS_LOGGED),
            violations: Throttle::new(REFUSALS_LOGGED),
            failures: Throttle::new(REFUSALS_LOGGED),
            failed_handshakes: Throttle::default(),
        }
    }

    /// Gives a client that has not introduced itself a place, if need be that of another one.
    pub(super) fn enter(self: &Arc<Self>, client_id: u64, address: IpAddr) -> Place {
        let (lost, origin) = (CancellationToken::new(), origin(address));
        let mut state = self.lock();
        while state.unauthenticated.len() >= self.max_unauthenticated {
            let place = state.place_to_give_up(origin).unwrap_or(0);
            if let Some(other) = state.unauthenticated.remove(place) {
                other.lost.cancel();
            }
        }
        state.unauthenticated.push_back(Unauthenticated {
            client_id,
            origin,
            lost: lost.clone(),
        });
        Place {
            admission: Arc::clone(self),
            client_id,
            admitted: Arc::default(),
            lost,
        }
    }

    /// Tells the log, so and so often, that a client shows nothing or something wrong. What it shows is not in it but for the
    /// name of a user.
    pub(super) fn warn_of_refusal(
        &self,
        client: &Client,
        user: Option<&str>,
        hint: Option<&'static str>,
    ) {
        if let Some(refused) = self.refusals.is_due(Instant::now()) {
            tracing::error!(
                client_id = client.outbound.client_id,
                peer = %client.address,
                user,
                refused,
                hint,
                "a login failed: the client does not show the broker's token, or a user with its password or key"
            );
        }
    }

    /// Tells the log, so and so often, that a client is closed for what it did, if an operator is to know.
    pub(super) fn warn_of_closing(&self, client: &Client, closing: Closing) {
        if let Some(message) = closing.logged() {
            self.warn_of_failure(client, &message);
        }
    }

    /// Tells the log, so and so often, what of a client failed.
    pub(super) fn warn_of_failure(&self, client: &Client, message: &str) {
        if let Some(failed) = self.failures.is_due(Instant::now()) {
            let said = client.introduced();
            tracing::error!(
                client_id = client.outbound.client_id,
                peer = %client.address,
                name = said.name,
                failed,
                "{message}"
            );
        }
    }

    /// Tells the log, once in a while, that clients fail to speak TLS.
    pub(super) fn warn_of_handshake(&self, peer: std::net::SocketAddr, error: &std::io::Error) {
        if let Some(failed) = self.failed_handshakes.is_due(Instant::now()) {
            tracing::warn!(%peer, failed, %error, "a client failed in the TLS or websocket handshake");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Moves a client that has introduced itself to a place of its own, one of `most`; false when all are taken.
    pub(super) fn admit(&mut self, most: usize) -> bool {
        if self.is_admitted() {
            return true;
        }
        let mut state = self.admission.lock();
        if state.admitted >= most {
            return false;
        }
        state
            .unauthenticated
            .retain(|client| client.client_id != self.client_id);
        state.admitted += 1;
        self.admitted.store(true, Ordering::Relaxed);
        true
    }

    pub(super) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Says at any time whether the client is admitted.
    pub(super) fn admitted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.admitted)
    }

    /// Waits until another client needs the place of this one; without end once it is admitted.
    pub(super) async fn lost(&self) {
        if self.is_admitted() {
            std::future::pending().await
        } else {
            self.lost.cancelled().await
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        if self.is_admitted() {
            state.admitted -= 1;
        } else {
            state
                .unauthenticated
                .retain(|client| client.client_id != self.client_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[tokio::test]
    async fn the_oldest_silent_client_makes_room() {
        let admission = Arc::new(Admission::new(2));
        let mut first = admission.enter(1, HERE);
        let second = admission.enter(2, HERE);
        assert!(first.admit(1) && first.admit(1));
        let mut third = admission.enter(3, HERE);
        assert!(!third.admit(1), "one may be admitted");
        drop(first);
        assert!(third.admit(1));
        let fourth = admission.enter(4, HERE);
        assert!(!second.lost.is_cancelled());
        let fifth = admission.enter(5, HERE);
        second.lost().await;
        drop((second, third, fourth, fifth));
        let state = admission.lock();
        assert_eq!((state.unauthenticated.len(), state.admitted), (0, 0));
    }

    #[test]
    fn clients_from_where_many_come_make_room_first() {
        let admission = Arc::new(Admission::new(3));
        let there: IpAddr = "192.0.2.1".parse().unwrap();
        let alone = admission.enter(1, there);
        let flood: Vec<_> = (2..100).map(|id| admission.enter(id, HERE)).collect();
        assert!(!alone.lost.is_cancelled());
        let lost = flood.iter().take_while(|place| place.lost.is_cancelled());
        assert_eq!(lost.count(), flood.len() - 2);
        let neighbour = "2001:db8::1".parse().unwrap();
        assert_eq!(
            origin(neighbour),
            origin("2001:db8::2:3:4:5".parse().unwrap())
        );
        assert_ne!(
            origin(neighbour),
            origin("2001:db8:0:1::1".parse().unwrap())
        );
        assert_eq!(origin("::ffff:192.0.2.1".parse().unwrap()), there);
    }
}
