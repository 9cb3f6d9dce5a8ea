//! The actor that brings what the outbox holds to the recommendations service.

use std::{
    collections::VecDeque,
    mem,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture,
};
use futures::FutureExt;
use runtime::{ChildGuard, Reporter, Wake, supervision::panic_message, traces::SpanKind};
use storage::{Database, DbConnection};

pub use crate::delivery::Pace;
use crate::{
    delivery::{Docket, Outcome},
    films::{
        FilmId,
        outbox::{self, Batch, News, Waiting},
    },
    recommendations::{Recipient, RecommendationsClient},
};

/// How many rows of the outbox are read at once.
const BATCH: i64 = 128;

/// The least time between two looks at the oldest rows: what is on its way is read again each time.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// The counter of films that were set aside.
const SET_ASIDE: &str = "films set aside";

/// Films were written: there is something in the outbox.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FilmsSaved;

/// The actor that delivers the outbox. It takes the oldest rows that there are, of each film only the
/// newest state, several films at once; a row leaves the outbox when recommendations has confirmed
/// its version or a newer one. While recommendations is unavailable the rows wait, however long.
///
/// Several catalogs may do this on one database: what two of them deliver twice, recommendations
/// knows by its version.
pub struct FilmCourier {
    guard: ChildGuard,
    route: Route,
    docket: Docket,
    /// What was read and is not on its way yet.
    waiting: VecDeque<Waiting>,
    /// Where to read on in the outbox; `None` when its end was reached.
    next: Option<i64>,
    /// Whether to begin at the oldest row once the end is reached.
    again: bool,
    /// When it may begin there.
    may_look: Instant,
    is_reading: bool,
    /// Deliveries that ended while the outbox was read.
    ended: Vec<(FilmId, Outcome)>,
    /// How many films are set aside.
    parked: i64,
    /// The next `Wake`, and when it comes.
    timer: Option<(Instant, SpawnHandle)>,
}

/// What reading and delivering need.
#[derive(Clone)]
struct Route {
    database: Database,
    recommendations: Arc<dyn Recipient>,
    pace: Pace,
    reporter: Reporter,
}

/// Some of the outbox and, at its beginning, how many films are set aside.
type OutboxRead = Result<(Batch, Option<i64>), storage::Error>;

impl FilmCourier {
    /// Makes the actor; the client connects when it is first needed.
    pub fn new(
        database: Database,
        recommendations: RecommendationsClient,
        pace: Pace,
        guard: ChildGuard,
    ) -> Self {
        Self::to(Arc::new(recommendations), database, pace, guard)
    }

    fn to(
        recommendations: Arc<dyn Recipient>,
        database: Database,
        pace: Pace,
        guard: ChildGuard,
    ) -> Self {
        let reporter = guard.reporter();
        Self {
            guard,
            route: Route {
                database,
                recommendations,
                pace,
                reporter,
            },
            docket: Docket::new(pace),
            waiting: VecDeque::new(),
            next: Some(0),
            again: false,
            may_look: Instant::now(),
            is_reading: false,
            ended: Vec::new(),
            parked: 0,
            timer: None,
        }
    }
}

runtime::requested!(FilmCourier);

impl Actor for FilmCourier {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.guard.ready();
        // Alerts see only how a count grows.
        self.route.reporter.count(SET_ASIDE, 0);
        self.go_on(context);
    }
}

impl Handler<FilmsSaved> for FilmCourier {
    type Result = ();

    fn handle(&mut self, _: FilmsSaved, context: &mut Context<Self>) {
        self.again = true;
        self.go_on(context);
    }
}

impl Handler<Wake> for FilmCourier {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        self.timer = None;
        self.again = true;
        self.go_on(context);
    }
}

impl FilmCourier {
    /// Does what can be done now: sends films, or else reads more of them, or else waits.
    fn go_on(&mut self, context: &mut Context<Self>) {
        if self.is_reading {
            return;
        }
        for (id, outcome) in mem::take(&mut self.ended) {
            self.conclude(&id, &outcome);
        }
        self.send_waiting(context);
        let now = Instant::now();
        let has_room = self.docket.has_room(now);
        if has_room && self.next.is_none() && self.again && now >= self.may_look {
            self.again = false;
            self.next = Some(0);
            self.may_look = now + LOOK_PAUSE;
        }
        match self.next {
            Some(from) if has_room => self.read(from, context),
            _ => self.plan_look(now, has_room, context),
        }
    }

    /// Sends the films that were read, as long as there is room.
    fn send_waiting(&mut self, context: &mut Context<Self>) {
        let now = Instant::now();
        while self.docket.has_room(now)
            && let Some(waiting) = self.waiting.pop_front()
        {
            if !self.docket.begin(waiting.news.film_id(), now) {
                continue;
            }
            // A task of its own: the context polls all it has whenever one part of it wakes. It ends with
            // the actor.
            let (delivery, delivered) = self.route.clone().deliver_or_rest(waiting).remote_handle();
            actix::spawn(delivery);
            let delivered = delivered.into_actor(self);
            context.spawn(delivered.map(|(id, outcome), courier, context| {
                courier.ended.push((id, outcome));
                courier.go_on(context);
            }));
        }
    }

    fn read(&mut self, from: i64, context: &mut Context<Self>) {
        self.is_reading = true;
        let reading = self.route.clone().read(from).into_actor(self);
        context.spawn(reading.map(|read, courier, context| courier.was_read(read, context)));
    }

    fn was_read(&mut self, read: OutboxRead, context: &mut Context<Self>) {
        self.is_reading = false;
        match read {
            Ok((batch, counted)) => {
                self.next = batch.next;
                let nothing_waits = batch.news.is_empty() && counted.is_some();
                self.waiting.extend(batch.news);
                let is_over = nothing_waits && self.docket.clear();
                let counted = counted.unwrap_or(self.parked);
                let is_news = mem::replace(&mut self.parked, counted) != counted;
                if is_over || is_news && !self.docket.is_troubled() {
                    self.report_delivering();
                }
            }
            Err(error) => {
                error.report(&self.route.reporter, "cannot read the outbox");
                self.docket.pause(Instant::now());
            }
        }
        // Before the deliveries end that did so meanwhile: what was read of their films may be older.
        self.send_waiting(context);
        self.go_on(context);
    }

    /// A delivery ended.
    fn conclude(&mut self, id: &FilmId, outcome: &Outcome) {
        self.again |= self.docket.end(id, outcome, Instant::now());
        let reporter = &self.route.reporter;
        match outcome {
            Outcome::Delivered => {
                reporter.count("films delivered", 1);
                self.report_delivering();
            }
            Outcome::Refused(_) => {
                reporter.count(SET_ASIDE, 1);
                // The count of those that are set aside is another now.
                self.again = true;
            }
            Outcome::Failed(reason) => {
                reporter.degraded(format_args!("a film cannot be delivered: {reason}"));
            }
            // The client and the database log what is unavailable.
            Outcome::Silent(reason) | Outcome::Unavailable(reason) => {
                reporter.hindered(format_args!("films wait for recommendations: {reason}"));
            }
        }
        if matches!(outcome, Outcome::Unavailable(_)) {
            // It may take long; what was read would be old by then.
            self.waiting.clear();
            self.next = Some(0);
        }
    }

    /// Has the actor woken when something can be done without a message from others.
    fn plan_look(&mut self, now: Instant, has_room: bool, context: &mut Context<Self>) {
        let mut look = self.docket.next_look(now);
        if self.again && self.next.is_none() && has_room {
            look = look.min(self.may_look);
        }
        // An earlier look does no harm, and timers are not cancelled for each film.
        if self.timer.as_ref().is_some_and(|(at, _)| *at <= look) {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            context.cancel_future(timer);
        }
        let timer = context.notify_later(Wake, look.saturating_duration_since(now));
        self.timer = Some((look, timer));
    }

    /// Says that films are delivered, but for those that are set aside.
    fn report_delivering(&self) {
        let reporter = &self.route.reporter;
        match self.parked {
            0 => reporter.ready(),
            1 => reporter
                .degraded("recommendations refuses 1 film, which is set aside until it is edited"),
            parked => reporter.degraded(format_args!(
                "recommendations refuses {parked} films, which are set aside until they are edited"
            )),
        }
    }
}

impl Route {
    /// Reads on in the outbox. At its beginning, also counts the films that are set aside.
    async fn read(self, from: i64) -> OutboxRead {
        let query = move |conn: &mut DbConnection| {
            let batch = outbox::read(conn, from, BATCH)?;
            let parked = (from == 0).then(|| outbox::count_parked(conn));
            Ok((batch, parked.transpose()?))
        };
        self.database.read(query).await
    }

    /// Like [`Self::deliver`]; a panic is a failure of this film, which must not hold up the others.
    async fn deliver_or_rest(self, waiting: Waiting) -> (FilmId, Outcome) {
        let (id, version) = (waiting.news.film_id().clone(), waiting.news.version());
        let delivered = AssertUnwindSafe(self.deliver_for(waiting))
            .catch_unwind()
            .await;
        delivered.unwrap_or_else(|panic| {
            let reason = format!("its delivery panicked: {}", panic_message(&*panic));
            tracing::error!(film_id = %id, version, reason, "film {id} cannot be delivered: {reason}");
            (id, Outcome::Failed(reason))
        })
    }

    /// Like [`Self::deliver`], in the name of the request that wrote the film, and in the trace of it.
    async fn deliver_for(self, waiting: Waiting) -> (FilmId, Outcome) {
        let Waiting {
            news,
            origin,
            earlier,
        } = waiting;
        let mut spans = origin.begin(SpanKind::Internal, "deliver film", &earlier);
        let scope = origin.scope(&spans);
        let (id, outcome) = scope.around(self.deliver(news)).await;
        if outcome != Outcome::Delivered {
            spans.fail(outcome.kind());
        }
        (id, outcome)
    }

    /// Brings one film's news there, and settles its rows.
    async fn deliver(self, news: News) -> (FilmId, Outcome) {
        let (id, version) = (news.film_id().clone(), news.version());
        let outcome = self.recommendations.tell(news, self.pace.deadline).await;
        let settled = match &outcome {
            Outcome::Delivered => {
                let id = id.clone();
                self.database
                    .write(move |conn| outbox::delivered(conn, &id, version))
                    .await
            }
            Outcome::Refused(reason) => {
                self.reporter.count("films refused", 1);
                tracing::error!(film_id = %id, version, reason, "recommendations refuses film {id}, which is set aside: {reason}");
                let (id, reason) = (id.clone(), reason.clone());
                self.database
                    .write(move |conn| outbox::park(conn, &id, version, &reason))
                    .await
            }
            Outcome::Failed(_) | Outcome::Silent(_) | Outcome::Unavailable(_) => Ok(()),
        };
        if outcome == Outcome::Delivered {
            tracing::debug!(film_id = %id, version, "film {id} is delivered");
        }
        match settled {
            Ok(()) => (id, outcome),
            // Delivered again later; that changes nothing over there.
            Err(error) => {
                error.report(&self.reporter, "cannot settle the outbox");
                (id, Outcome::Unavailable(error.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
