//! Core publish/subscribe: who is subscribed to what, and the hand-over of each message to them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rand::RngExt;
use tokio::sync::Notify;

use super::interest::{InterestWatch, InterestWatches};
use super::jetstream::Domain;
use super::message_trace::{self, MessageTrace};
use super::outbound::{Filled, Outbound, Queued};
use super::permissions::GuardSlot;
use super::protocol::{Delivery, Message};
use super::subjects::SubjectTrie;
use super::{Counters, headers, subjects};

/// One subscription of one client.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) subject: Box<str>,
    pub(super) queue: Option<Box<str>>,
    pub(super) sid: Box<str>,
    pub(super) client: Arc<Outbound>,
    /// How many messages it takes before it ends by itself; `u64::MAX` for no limit.
    pub(super) limit: AtomicU64,
    pub(super) delivered: AtomicU64,
    /// Looks at each message first, where the client's user may not see all of them.
    pub(super) guard: GuardSlot,
}

impl Subscription {
    /// A subscription without end that takes every message.
    pub(super) fn new(
        subject: Box<str>,
        queue: Option<Box<str>>,
        sid: Box<str>,
        client: Arc<Outbound>,
    ) -> Self {
        Subscription {
            subject,
            queue,
            sid,
            client,
            limit: AtomicU64::new(u64::MAX),
            delivered: AtomicU64::new(0),
            guard: GuardSlot::default(),
        }
    }

    /// Whether it has had as many messages as it takes.
    pub(super) fn is_spent(&self) -> bool {
        self.delivered.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed)
    }

    /// About how many bytes of memory it takes, its place among the others included.
    pub(super) fn memory(&self) -> usize {
        const EACH: usize = 512;
        const EACH_TOKEN: usize = 300;
        let texts = self.subject.len() * 2
            + self.sid.len() * 2
            + self.queue.as_ref().map_or(0, |queue| queue.len());
        EACH + EACH_TOKEN * subjects::token_count(&self.subject) + texts
    }
}

/// What became of a message that could have waited.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Handover {
    Delivered,
    NobodyThere,
    /// Who it is for has not read enough yet.
    Congested,
}

/// How likely it is that a message is meant for a subscription, rather than overheard by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    /// It listens to everything.
    NamesNothing,
    /// It names the subject, or a part of it. One that names more of it is not closer: whoever names all of it and reads slowly would
    /// hold up a client that listens with a wildcard.
    NamesSubject,
    /// It is of the client that asked for the message.
    Asked,
}

impl Closeness {
    fn of(subscription: &Subscription, asker: Option<u64>) -> Self {
        if asker == Some(subscription.client.client_id) {
            Closeness::Asked
        } else if subjects::has_word(&subscription.subject) {
            Closeness::NamesSubject
        } else {
            Closeness::NamesNothing
        }
    }
}

/// What became of a client's message.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) is_heard: bool,
    /// A subscriber that is behind, if one is.
    pub(super) behind: Option<Arc<Outbound>>,
    is_hidden: bool,
}

/// What the hand-over of a message leaves to be done.
struct Aftermath<'a> {
    /// What the publisher is to hear of it.
    trace: Option<&'a mut MessageTrace>,
    /// Clients to write to.
    filled: &'a mut Filled,
    /// Subscriptions that have had as many messages as they take.
    spent: Vec<Arc<Subscription>>,
    behind: Option<Arc<Outbound>>,
    /// Whether a subscription matches whose client may not see the message.
    is_hidden: bool,
}

impl Aftermath<'_> {
    /// Takes note of where a message goes, or why not.
    fn note(&mut self, subscription: &Subscription, error: &str) {
        if let Some(trace) = &mut self.trace {
            trace.goes_to(subscription, error);
        }
    }
}

/// The subscriptions of all clients.
#[derive(Debug, Default)]
pub(super) struct Router {
    subscriptions: RwLock<SubjectTrie<Arc<Subscription>>>,
    watches: Arc<InterestWatches>,
    inlet: OnceLock<Box<dyn Inlet>>,
    domain: OnceLock<Domain>,
    stats: Arc<Counters>,
}

/// Who takes what the broker itself publishes, besides the subscribers.
pub(super) trait Inlet: std::fmt::Debug + Send + Sync {
    /// Whether it takes messages on this subject.
    fn wants(&self, subject: &str) -> bool;
    /// Takes a message. Must not wait.
    fn take(&self, message: Message);
}

impl Router {
    pub(super) fn new(stats: Arc<Counters>) -> Self {
        Router {
            subscriptions: RwLock::default(),
            watches: Arc::default(),
            inlet: OnceLock::new(),
            domain: OnceLock::new(),
            stats,
        }
    }

    /// Says how clients may name the place of the streams that are reached through here.
    pub(super) fn set_domain(&self, domain: Domain) {
        let _ = self.domain.set(domain);
    }

    pub(super) fn domain(&self) -> Option<&Domain> {
        self.domain.get()
    }

    /// Says who takes what the broker itself publishes; there is one.
    pub(super) fn set_inlet(&self, inlet: Box<dyn Inlet>) {
        let _ = self.inlet.set(inlet);
    }

    /// Whether a subscriber or a stream would get what the broker itself publishes on this subject.
    pub(super) fn is_heard(&self, subject: &str) -> bool {
        let takes = self.inlet.get().is_some_and(|inlet| inlet.wants(subject));
        takes || self.has_interest(subject)
    }

    /// Gives a message of the broker itself to the subscribers of its subject, and to the stream that takes it.
    pub(super) fn announce(&self, message: Message) {
        let delivery = Delivery {
            subject: &message.subject,
            reply: None,
            headers: &message.headers,
            payload: &message.payload,
        };
        self.route(
            &message.subject,
            &delivery,
            None,
            &mut Filled::default(),
            None,
        );
        if let Some(inlet) = self
            .inlet
            .get()
            .filter(|inlet| inlet.wants(&message.subject))
        {
            inlet.take(message);
        }
    }

    pub(super) fn subscribe(&self, subscription: Arc<Subscription>) {
        self.stats
            .subscriptions_made
            .fetch_add(1, Ordering::Relaxed);
        let subject = subscription.subject.clone();
        self.write().insert(&subject, subscription);
        self.watches.changed(&subject);
    }

    pub(super) fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        let ended = self.write().remove(&subscription.subject, |other| {
            Arc::ptr_eq(other, subscription)
        });
        self.stats
            .subscriptions_ended
            .fetch_add(ended as u64, Ordering::Relaxed);
        self.watches.changed(&subscription.subject);
    }

    /// Tells `watcher` from now on when a subscriber of `subject` may have come or gone.
    pub(super) fn watch_interest(&self, subject: &str, watcher: Arc<Notify>) -> InterestWatch {
        self.watches.watch(subject, watcher)
    }

    /// Whether any subscriber would get a message on this subject.
    pub(super) fn has_interest(&self, subject: &str) -> bool {
        self.read().has_match(subject)
    }

    /// Gives a message to the subscribers of `inbox`, under the message's own subject. It waits while all
    /// for whom it is meant are behind: the client that asked for it, if one did, otherwise those that name the inbox, otherwise all. Others
    /// that hear it are cut off if they do not keep up: one that reads slowly holds up none that does not.
    pub(super) fn hand_over(
        &self,
        inbox: &str,
        asker: Option<u64>,
        delivery: &Delivery<'_>,
        filled: &mut Filled,
    ) -> Handover {
        if self.is_congested(inbox, asker, delivery) {
            return Handover::Congested;
        }
        let routed = self.route(inbox, delivery, None, filled, None);
        // Who listens and may not see it misses it, and goes on with the next.
        if routed.is_heard || routed.is_hidden {
            Handover::Delivered
        } else {
            Handover::NobodyThere
        }
    }

    /// Sends the server's own answer.
    pub(super) fn answer(&self, inbox: &str, headers: &[u8], payload: &[u8]) {
        self.answer_with_others(inbox, headers, payload, &mut Filled::default());
    }

    /// Sends the server's own answer when `filled` is flushed.
    pub(super) fn answer_with_others(
        &self,
        inbox: &str,
        headers: &[u8],
        payload: &[u8],
        filled: &mut Filled,
    ) {
        let delivery = Delivery {
            subject: inbox,
            reply: None,
            headers,
            payload,
        };
        self.route(inbox, &delivery, None, filled, None);
    }

    /// Tells a requester that its subject has no responder.
    pub(super) fn answer_no_responders(&self, inbox: &str) {
        self.answer(inbox, &headers::status("503"), &[]);
    }

    fn is_congested(&self, subject: &str, asker: Option<u64>, delivery: &Delivery<'_>) -> bool {
        let subscriptions = self.read();
        let mut is_any = false;
        subscriptions.for_each_match(subject, &mut |subscription| {
            is_any |= subscription.client.is_congested()
        });
        if !is_any {
            return false;
        }
        // The closest receivers, and whether one of them is not behind.
        let mut closest = None;
        let mut members = Vec::new();
        subscriptions.for_each_match(subject, &mut |subscription: &Arc<Subscription>| {
            let queue = subscription.queue.as_deref();
            let is_hidden = subscription.guard.hides(subject, delivery.subject, queue);
            if is_hidden || subscription.is_spent() || subscription.client.is_gone() {
                return;
            }
            if queue.is_some() {
                return members.push(subscription);
            }
            let is_ready = !subscription.client.is_congested();
            closest = closest.max(Some((Closeness::of(subscription, asker), is_ready)));
        });
        for group in by_queue(&mut members) {
            let closeness = group.iter().map(|member| Closeness::of(member, asker));
            let is_ready = group.iter().any(|member| !member.client.is_congested());
            closest = closest.max(closeness.max().map(|closeness| (closeness, is_ready)));
        }
        closest.is_some_and(|(_, is_ready)| !is_ready)
    }

    /// Tells a client that nobody hears what it asked, if it waits for the answer itself.
    pub(super) fn answer_unheard(&self, inbox: &str, subject: &str, client: &Arc<Outbound>) {
        let mut sid = None;
        self.read().for_each_match(inbox, &mut |subscription| {
            if subscription.queue.is_none() && subscription.client.client_id == client.client_id {
                sid = Some(subscription.sid.clone());
            }
        });
        let delivery = Delivery {
            subject: inbox,
            reply: None,
            headers: &headers::with_status("503", &[("Nats-Subject", subject)]),
            payload: &[],
        };
        if let Some(sid) = sid {
            client.deliver(&delivery, &sid, &mut Filled::default());
        }
    }

    /// Gives a message to the subscribers of `subject`, under the message's own. `from` is the publishing client.
    pub(super) fn route(
        &self,
        subject: &str,
        delivery: &Delivery<'_>,
        from: Option<&Outbound>,
        filled: &mut Filled,
        trace: Option<&mut MessageTrace>,
    ) -> Routed {
        let is_only = trace.as_ref().is_some_and(|trace| trace.is_only);
        let mut aftermath = Aftermath {
            trace,
            filled,
            spent: Vec::new(),
            behind: None,
            is_hidden: false,
        };
        let delivered = if subjects::is_routable(subject) {
            self.route_to(subject, delivery, from, &mut aftermath)
        } else {
            0
        };
        for subscription in std::mem::take(&mut aftermath.spent) {
            self.unsubscribe(&subscription);
        }
        if !is_only {
            let bytes = delivered * delivery.content_len() as u64;
            aftermath.filled.count(&self.stats, delivered, bytes);
        }
        Routed {
            is_heard: delivered > 0,
            behind: aftermath.behind,
            is_hidden: aftermath.is_hidden,
        }
    }

    fn route_to(
        &self,
        subject: &str,
        delivery: &Delivery<'_>,
        from: Option<&Outbound>,
        aftermath: &mut Aftermath<'_>,
    ) -> u64 {
        let mut delivered = 0;
        let mut members = Vec::new();
        let subscriptions = self.read();
        subscriptions.for_each_match(subject, &mut |subscription: &Arc<Subscription>| {
            let own = from.is_some_and(|from| from.client_id == subscription.client.client_id);
            if own && !subscription.client.echo.load(Ordering::Relaxed) {
                aftermath.note(subscription, message_trace::NO_ECHO);
                return;
            }
            if subscription.queue.is_some() {
                members.push(subscription);
            } else {
                delivered += u64::from(give(subscription, subject, delivery, aftermath));
            }
        });
        for members in by_queue(&mut members) {
            let start = if members.len() > 1 {
                rand::rng().random_range(0..members.len())
            } else {
                0
            };
            // Those that have not read enough yet are passed over while there are others.
            let mut passed_over = Vec::new();
            let mut from_start = members.iter().cycle().skip(start).take(members.len());
            let is_given = from_start.any(|member| {
                let is_behind = members.len() > 1 && member.client.is_congested();
                if is_behind {
                    passed_over.push(member);
                }
                !is_behind && give(member, subject, delivery, aftermath)
            });
            let mut others = passed_over.into_iter();
            delivered += u64::from(
                is_given || others.any(|member| give(member, subject, delivery, aftermath)),
            );
        }
        delivered
    }

    fn read(&self) -> RwLockReadGuard<'_, SubjectTrie<Arc<Subscription>>> {
        self.subscriptions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, SubjectTrie<Arc<Subscription>>> {
        self.subscriptions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The members of each queue group. They are sorted: to look for the group of each would take a time that grows with its square, in
/// which no subscription can be made.
fn by_queue<'a, 'b>(
    members: &'b mut [&'a Arc<Subscription>],
) -> impl Iterator<Item = &'b [&'a Arc<Subscription>]> {
    members.sort_unstable_by(|one, other| one.queue.cmp(&other.queue));
    members.chunk_by(|one, other| one.queue == other.queue)
}

fn give(
    subscription: &Arc<Subscription>,
    subject: &str,
    delivery: &Delivery<'_>,
    aftermath: &mut Aftermath<'_>,
) -> bool {
    let queue = subscription.queue.as_deref();
    let guard = &subscription.guard;
    if !guard.lets_through(subject, delivery.subject, queue, delivery.reply) {
        aftermath.is_hidden = true;
        aftermath.note(subscription, message_trace::SUBSCRIPTION_DENIED);
        return false;
    }
    let is_only = aftermath.trace.as_ref().is_some_and(|trace| trace.is_only);
    if is_only {
        aftermath.note(subscription, "");
        return true;
    }
    let count = subscription.delivered.fetch_add(1, Ordering::Relaxed) + 1;
    let limit = subscription.limit.load(Ordering::Relaxed);
    if count >= limit {
        aftermath.spent.push(Arc::clone(subscription));
    }
    if count > limit {
        aftermath.note(subscription, message_trace::LIMIT_EXCEEDED);
        return false;
    }
    let client = &subscription.client;
    match client.deliver(delivery, &subscription.sid, aftermath.filled) {
        Queued::Gone => {
            aftermath.note(subscription, message_trace::CLIENT_CLOSED);
            false
        }
        Queued::Yes => {
            aftermath.note(subscription, "");
            true
        }
        Queued::Behind => {
            aftermath.note(subscription, "");
            aftermath.behind = Some(Arc::clone(&subscription.client));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::access::{Permissions, SubjectList};
    use crate::broker::permissions::{ClientPermissions, UserPermissions};

    fn client(id: u64) -> Arc<Outbound> {
        Outbound::new(id, 64 << 20)
    }

    fn subscribe(
        router: &Router,
        client: &Arc<Outbound>,
        subject: &str,
        queue: Option<&str>,
        limit: u64,
    ) -> Arc<Subscription> {
        let subscription = Arc::new(Subscription {
            limit: AtomicU64::new(limit),
            ..Subscription::new(
                subject.into(),
                queue.map(Into::into),
                "1".into(),
                Arc::clone(client),
            )
        });
        router.subscribe(Arc::clone(&subscription));
        subscription
    }

    fn hello(subject: &str) -> Delivery<'_> {
        Delivery {
            subject,
            reply: None,
            headers: &[],
            payload: b"hello",
        }
    }

    fn publish(router: &Router, subject: &str) -> bool {
        router
            .route(subject, &hello(subject), None, &mut Filled::default(), None)
            .is_heard
    }

    fn count(subscription: &Subscription) -> u64 {
        subscription.delivered.load(Ordering::Relaxed)
    }

    #[test]
    fn one_member_of_each_group_gets_a_message() {
        let router = Router::default();
        let clients = [client(1), client(2), client(3)];
        let group: Vec<_> = clients
            .iter()
            .zip([">", "a.*", "a.b"])
            .map(|(client, subject)| subscribe(&router, client, subject, Some("g"), u64::MAX))
            .collect();
        let other = subscribe(&router, &clients[0], "a.*", Some("h"), u64::MAX);
        let plain = subscribe(&router, &clients[0], ">", None, u64::MAX);
        for _ in 0..300 {
            assert!(publish(&router, "a.b"));
        }
        assert_eq!(group.iter().map(|member| count(member)).sum::<u64>(), 300);
        assert!(
            group.iter().all(|member| count(member) > 30),
            "the load is shared"
        );
        assert_eq!((count(&other), count(&plain)), (300, 300));
        clients[1].close();
        assert!(
            publish(&router, "a.c"),
            "a member that is gone is passed over"
        );
    }

    #[test]
    fn a_limited_subscription_ends_by_itself() {
        let router = Router::default();
        subscribe(&router, &client(1), "a", None, 2);
        assert!(publish(&router, "a") && publish(&router, "a"));
        assert!(!publish(&router, "a"));
        assert!(!router.has_interest("a"));
    }

    #[test]
    fn a_client_may_decline_its_own_messages() {
        let router = Router::default();
        let client = client(1);
        subscribe(&router, &client, "a", None, u64::MAX);
        client.echo.store(false, Ordering::Relaxed);
        assert!(
            !router
                .route(
                    "a",
                    &hello("a"),
                    Some(&client),
                    &mut Filled::default(),
                    None
                )
                .is_heard
        );
        assert!(publish(&router, "a"));
    }

    /// A client for which so much waits that it should get no more for now.
    fn behind(id: u64) -> Arc<Outbound> {
        let client = client(id);
        client.send(&vec![0; 8 << 20]);
        client
    }

    fn hand_over(router: &Router, inbox: &str, asker: Option<u64>) -> Handover {
        router.hand_over(inbox, asker, &hello("stored"), &mut Filled::default())
    }

    #[test]
    fn a_message_waits_for_the_client_that_asked_for_it_and_for_no_other() {
        let router = Router::default();
        let (asker, slow) = (client(1), behind(2));
        subscribe(&router, &asker, "inbox.a.*", None, u64::MAX);
        let overheard = [">", "inbox.*.*", "inbox.a.*", "inbox.a.1"]
            .map(|subject| subscribe(&router, &slow, subject, None, u64::MAX));
        assert_eq!(
            hand_over(&router, "inbox.a.1", Some(1)),
            Handover::Delivered
        );
        assert!(overheard.iter().all(|other| count(other) == 1));
        asker.send(&vec![0; 8 << 20]);
        subscribe(&router, &client(3), ">", None, u64::MAX);
        subscribe(&router, &client(3), "inbox.a.1", None, u64::MAX);
        assert_eq!(
            hand_over(&router, "inbox.a.1", Some(1)),
            Handover::Congested
        );
    }

    #[test]
    fn a_message_that_no_client_asked_for_waits_while_all_that_name_its_subject_are_behind() {
        for (slow, fast, expected) in [
            (">", "deliver.*", Handover::Delivered),
            ("*.*", "deliver.*", Handover::Delivered),
            ("deliver.>", "deliver.*", Handover::Delivered),
            ("deliver.a", "deliver.a", Handover::Delivered),
            ("deliver.a", "deliver.*", Handover::Delivered),
            ("deliver.a", "deliver.>", Handover::Delivered),
            ("deliver.a", "*.*", Handover::Congested),
            ("deliver.*", ">", Handover::Congested),
        ] {
            let router = Router::default();
            subscribe(&router, &behind(1), slow, None, u64::MAX);
            subscribe(&router, &client(2), fast, None, u64::MAX);
            let outcome = hand_over(&router, "deliver.a", None);
            assert_eq!(outcome, expected, "{slow} {fast}");
        }
    }

    #[test]
    fn a_message_does_not_wait_for_clients_that_get_it_no_more() {
        let router = Router::default();
        let (gone, spent) = (behind(1), behind(2));
        subscribe(&router, &gone, "deliver", None, u64::MAX);
        gone.close();
        subscribe(&router, &spent, "deliver", None, 0);
        let other = subscribe(&router, &client(3), ">", None, u64::MAX);
        assert_eq!(hand_over(&router, "deliver", None), Handover::Delivered);
        assert_eq!(count(&other), 1);
    }

    #[test]
    fn a_member_of_a_group_that_is_behind_is_passed_over_while_others_are_not() {
        let router = Router::default();
        let (slow, fast) = (behind(1), client(2));
        let slow = subscribe(&router, &slow, "deliver", Some("g"), u64::MAX);
        let reader = subscribe(&router, &fast, "*", Some("g"), u64::MAX);
        for _ in 0..50 {
            assert_eq!(hand_over(&router, "deliver", None), Handover::Delivered);
        }
        assert_eq!((count(&slow), count(&reader)), (0, 50));
        fast.send(&vec![0; 8 << 20]);
        assert_eq!(hand_over(&router, "deliver", None), Handover::Congested);
        assert!(publish(&router, "deliver"), "others do not wait");
    }

    #[test]
    fn a_message_that_its_listener_may_not_see_is_passed_over() {
        let router = Router::default();
        let permissions = Permissions {
            subscribe: SubjectList {
                allow: None,
                deny: vec!["stored".to_owned()],
            },
            ..Permissions::default()
        };
        let user = UserPermissions::new(&permissions).unwrap().unwrap();
        let user = ClientPermissions::new(user);
        let listens = |subject: &str, client| {
            let subscription = Arc::new(Subscription {
                guard: GuardSlot::new(user.guard(subject, None)),
                ..Subscription::new(subject.into(), None, "1".into(), client)
            });
            router.subscribe(Arc::clone(&subscription));
            subscription
        };
        let wide = listens(">", behind(1));
        assert_eq!(hand_over(&router, "deliver", None), Handover::Delivered);
        let literal = listens("deliver", behind(1));
        let other = subscribe(&router, &client(2), "*", None, u64::MAX);
        assert_eq!(hand_over(&router, "deliver", Some(1)), Handover::Delivered);
        assert_eq!([&wide, &literal, &other].map(|one| count(one)), [0, 0, 1]);
    }
}
