//! The places for the connections of a server. When all are taken and a client comes, the connection that has been idle for
//! longest gives way.
//!
//! A connection is idle while nothing that its client asked for is under way, also before it has sent a byte. One that has
//! something under way keeps its place, however long that takes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Context,
    time::{Duration, Instant},
};

use futures::task::AtomicWaker;
use tokio::{sync::Notify, time::timeout};

/// How long a connection has to be idle before it gives way: time enough for a request to follow the connection, and for
/// an answer to be sent.
const GRACE: Duration = Duration::from_millis(250);

/// How many connections one server has at once. Clones share the places.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimit {
    limit: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: HashMap<u64, Occupied>,
    /// Which connections are idle, the one that has been so for longest first.
    idle: BTreeMap<u64, (Instant, u64)>,
}

#[derive(Debug)]
struct Occupied {
    /// How much is under way for the client.
    under_way: usize,
    /// The key among the idle ones.
    idle: Option<u64>,
    notice: Arc<Notice>,
}

/// How a connection learns that it has to give way.
#[derive(Debug, Default)]
struct Notice {
    is_given: AtomicBool,
    reader: AtomicWaker,
}

/// The place of one connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    activity: Activity,
    notice: Arc<Notice>,
}

/// What is under way for the client of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Activity {
    shared: Arc<Shared>,
    place: u64,
}

/// Something that a client asked for, until this is dropped.
#[derive(Debug)]
pub(crate) struct ActivityGuard(Activity);

impl ConnectionLimit {
    /// As many places as `limit`, at least one.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            shared: Arc::default(),
        }
    }

    /// Waits for a place. An idle connection has to give way if there is none.
    pub(crate) async fn take(&self) -> ConnectionPermit {
        loop {
            if let Some(place) = self.free_place() {
                return place;
            }
            self.shared.table().give_notice();
            // The connection that has the notice may have begun to work. Then the next one gets it.
            let _ = timeout(GRACE, self.shared.freed.notified()).await;
        }
    }

    fn free_place(&self) -> Option<ConnectionPermit> {
        let mut table = self.shared.table();
        if table.taken.len() >= self.limit {
            return None;
        }
        let place = table.next_number();
        let notice = Arc::<Notice>::default();
        let occupied = Occupied {
            under_way: 0,
            idle: None,
            notice: notice.clone(),
        };
        table.taken.insert(place, occupied);
        table.comes_to_rest(place);
        let shared = self.shared.clone();
        Some(ConnectionPermit {
            activity: Activity { shared, place },
            notice,
        })
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Tells the connection that has been idle for longest to give way, if that is long enough.
    fn give_notice(&mut self) {
        let Some(oldest) = self.idle.first_entry() else {
            return;
        };
        if oldest.get().0.elapsed() < GRACE {
            return;
        }
        let (_, place) = oldest.remove();
        if let Some(occupied) = self.taken.get_mut(&place) {
            occupied.idle = None;
            occupied.notice.is_given.store(true, Ordering::Release);
            occupied.notice.reader.wake();
        }
    }

    /// Puts the connection behind all others that are idle.
    fn comes_to_rest(&mut self, place: u64) {
        let key = self.next_number();
        let Some(occupied) = self.taken.get_mut(&place) else {
            return;
        };
        occupied.notice.is_given.store(false, Ordering::Release);
        if let Some(earlier) = occupied.idle.replace(key) {
            self.idle.remove(&earlier);
        }
        self.idle.insert(key, (Instant::now(), place));
    }

    /// Puts the connection behind all others that are idle, if it is.
    fn is_heard(&mut self, place: u64) {
        let occupied = self.taken.get(&place);
        if occupied.is_some_and(|occupied| occupied.under_way == 0) {
            self.comes_to_rest(place);
        }
    }

    fn begin(&mut self, place: u64) {
        let Some(occupied) = self.taken.get_mut(&place) else {
            return;
        };
        occupied.under_way += 1;
        occupied.notice.is_given.store(false, Ordering::Release);
        if let Some(key) = occupied.idle.take() {
            self.idle.remove(&key);
        }
    }

    fn end(&mut self, place: u64) {
        let Some(occupied) = self.taken.get_mut(&place) else {
            return;
        };
        occupied.under_way -= 1;
        if occupied.under_way == 0 {
            self.comes_to_rest(place);
        }
    }

    fn leave(&mut self, place: u64) {
        if let Some(occupied) = self.taken.remove(&place)
            && let Some(key) = occupied.idle
        {
            self.idle.remove(&key);
        }
    }
}

impl ConnectionPermit {
    /// What is under way for its client.
    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Whether the connection, of whose client nothing new has come, has to close. If not, its task is woken when it has to.
    pub(crate) fn gives_way(&self, context: &Context<'_>) -> bool {
        self.notice.reader.register(context.waker());
        self.notice.is_given.load(Ordering::Acquire)
    }

    /// Something has come from the client, which may be the beginning of a request: a notice comes too late, and the next
    /// one goes to another connection.
    pub(crate) fn heard(&self) {
        let Activity { shared, place } = &self.activity;
        shared.table().is_heard(*place);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Activity { shared, place } = &self.activity;
        shared.table().leave(*place);
        shared.freed.notify_one();
    }
}

impl Activity {
    /// Something is under way for the client.
    pub(crate) fn begin(&self) -> ActivityGuard {
        self.shared.table().begin(self.place);
        ActivityGuard(self.clone())
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        let Activity { shared, place } = &self.0;
        shared.table().end(*place);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, task::noop_waker};

    use super::*;

    fn has_notice(place: &ConnectionPermit) -> bool {
        place.gives_way(&Context::from_waker(&noop_waker()))
    }

    fn rested(places: &ConnectionLimit) {
        for (since, _) in places.shared.table().idle.values_mut() {
            *since -= GRACE;
        }
    }

    #[tokio::test]
    async fn the_connection_that_has_been_idle_for_longest_gives_way() {
        let places = ConnectionLimit::new(3);
        let (first, second) = (places.take().await, places.take().await);
        let third = places.take().await;
        drop(first.activity().begin());
        let call = third.activity().begin();
        assert!(places.take().now_or_never().is_none());
        let all = [&first, &second, &third];
        assert_eq!(all.map(has_notice), [false; 3], "they have just come");

        rested(&places);
        let fourth = tokio::spawn({
            let places = places.clone();
            async move { places.take().await }
        });
        let noticed = async {
            while !has_notice(&second) {
                tokio::task::yield_now().await;
            }
        };
        let noticed = timeout(Duration::from_secs(20), noticed).await;
        noticed.expect("the one idle for longest has notice");
        assert_eq!(all.map(has_notice), [false, true, false]);
        drop(second);
        let fourth = fourth.await.unwrap();

        // The work of the third keeps it; of those that rest the first came to rest before the fourth.
        rested(&places);
        assert!(places.take().now_or_never().is_none());
        assert!(has_notice(&first) && !has_notice(&fourth) && !has_notice(&third));
        let request = first.activity().begin();
        assert!(!has_notice(&first), "it works again");
        rested(&places);
        assert!(places.take().now_or_never().is_none());
        assert!(has_notice(&fourth));
        fourth.heard();
        assert!(!has_notice(&fourth), "a request of it is coming");
        drop((request, call, first, third, fourth));
        assert!(places.shared.table().idle.is_empty());
        assert!(places.shared.table().taken.is_empty());
    }

    #[tokio::test]
    async fn a_connection_whose_request_has_begun_to_come_gets_no_notice() {
        let places = ConnectionLimit::new(2);
        let (first, second) = (places.take().await, places.take().await);
        rested(&places);
        first.heard();
        assert!(places.take().now_or_never().is_none());
        assert!(has_notice(&second) && !has_notice(&first));
        // What comes while a call is under way does not make it idle.
        let call = first.activity().begin();
        first.heard();
        assert_eq!(places.shared.table().idle.len(), 0);
        drop(call);
        assert_eq!(places.shared.table().idle.len(), 1);
    }

    #[tokio::test]
    async fn several_calls_of_a_connection_have_to_end_before_it_is_idle() {
        let places = ConnectionLimit::new(1);
        let place = places.take().await;
        let calls = [place.activity().begin(), place.activity().begin()];
        let [first, second] = calls;
        drop(first);
        rested(&places);
        assert!(places.take().now_or_never().is_none());
        assert!(!has_notice(&place));
        drop(second);
        rested(&places);
        assert!(places.take().now_or_never().is_none());
        assert!(has_notice(&place));
    }
}
