//! The actor that brings what the outbox holds to the recommendations service.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture,
};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use proto::recommendations::RemoveFilmRequest;
use runtime::{ChildGuard, Reporter, grpc::request};
use storage::{Database, DbConnection};
use tokio::sync::Notify;
use tonic::{Code, Request};

pub use crate::delivery::Pace;
use crate::{
    delivery::{Docket, Outcome, film_update},
    movies::{
        FilmId,
        outbox::{self, Batch, News},
    },
    recommendations::RecommendationsClient,
};

/// How many rows of the outbox are read at once.
const BATCH: i64 = 128;

/// The least time between two looks at the oldest rows: what is on its way is read again each time.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Movies were written: there is something in the outbox.
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
    round: Round,
    guard: ChildGuard,
}

/// What a round of deliveries needs.
#[derive(Clone)]
struct Round {
    database: Database,
    recommendations: RecommendationsClient,
    pace: Pace,
    wake: Arc<Notify>,
    reporter: Reporter,
}

impl FilmCourier {
    /// Makes the actor; the client connects when it is first needed.
    pub fn new(
        database: Database,
        recommendations: RecommendationsClient,
        pace: Pace,
        guard: ChildGuard,
    ) -> Self {
        let reporter = guard.reporter();
        Self {
            round: Round {
                database,
                recommendations,
                pace,
                wake: Arc::default(),
                reporter,
            },
            guard,
        }
    }
}

runtime::requested!(FilmCourier);

impl Actor for FilmCourier {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.guard.ready();
        let walk = self.round.clone().walk().into_actor(self);
        context.spawn(walk.map(|(), _, context| context.stop()));
    }
}

impl Handler<FilmsSaved> for FilmCourier {
    type Result = ();

    fn handle(&mut self, _: FilmsSaved, _: &mut Context<Self>) {
        self.round.wake.notify_one();
    }
}

/// A delivery on its way.
type Delivery = Pin<Box<dyn Future<Output = (FilmId, Outcome)>>>;

impl Round {
    /// Delivers without end.
    async fn walk(self) {
        let mut docket = Docket::new(self.pace);
        let mut on_their_way: FuturesUnordered<Delivery> = FuturesUnordered::new();
        let mut waiting: VecDeque<News> = VecDeque::new();
        // Where to read on in the outbox; `None` when its end was reached.
        let mut next = Some(0);
        // Whether to begin at the oldest row once the end is reached.
        let mut again = false;
        // When it may begin there.
        let mut may_look = Instant::now();
        // How many films are set aside.
        let mut parked = 0;
        loop {
            let now = Instant::now();
            while docket.has_room(now) {
                if let Some(news) = waiting.pop_front() {
                    if docket.begin(news.movie_id(), now) {
                        on_their_way.push(self.clone().deliver(news).boxed_local());
                    }
                    continue;
                }
                if next.is_none() && again && now >= may_look {
                    again = false;
                    next = Some(0);
                    may_look = now + LOOK_PAUSE;
                }
                let Some(from) = next else { break };
                match self.read(from).await {
                    Ok((batch, counted)) => {
                        next = batch.next;
                        waiting.extend(batch.news);
                        let counted = counted.unwrap_or(parked);
                        if std::mem::replace(&mut parked, counted) != counted
                            && !docket.is_troubled()
                        {
                            self.report_delivering(parked);
                        }
                    }
                    Err(error) => {
                        error.report(&self.reporter, "cannot read the outbox");
                        docket.pause(Instant::now());
                        break;
                    }
                }
            }
            let mut look = docket.next_look(Instant::now());
            if again && next.is_none() && docket.has_room(Instant::now()) {
                look = look.min(may_look);
            }
            let look = tokio::time::sleep_until(look.into());
            tokio::select! {
                Some((id, outcome)) = on_their_way.next() => {
                    again |= docket.end(&id, &outcome, Instant::now());
                    if matches!(outcome, Outcome::Unavailable(_)) {
                        // It may take long; what was read would be old by then.
                        waiting.clear();
                        next = Some(0);
                    }
                    // The count of those that are set aside is another now.
                    again |= matches!(outcome, Outcome::Refused(_));
                    self.report(&outcome, parked);
                }
                () = self.wake.notified() => again = true,
                () = look => again = true,
            }
        }
    }

    /// Reads on in the outbox. At its beginning, also counts the films that are set aside.
    async fn read(&self, from: i64) -> Result<(Batch, Option<i64>), storage::Error> {
        let query = move |conn: &mut DbConnection| {
            let batch = outbox::read(conn, from, BATCH)?;
            let parked = (from == 0).then(|| outbox::count_parked(conn));
            Ok((batch, parked.transpose()?))
        };
        self.database.read(query).await
    }

    /// Brings one film's news there, and settles its rows.
    async fn deliver(mut self, news: News) -> (FilmId, Outcome) {
        let (id, version) = (news.movie_id().clone(), news.version());
        let outcome = self.call(news).await;
        let settled = match &outcome {
            Outcome::Delivered => {
                let id = id.clone();
                self.database
                    .write(move |conn| outbox::delivered(conn, &id, version))
                    .await
            }
            Outcome::Refused(reason) => {
                tracing::error!(film_id = %id, version, reason, "recommendations refuses film {id}, which is set aside: {reason}");
                let (id, reason) = (id.clone(), reason.clone());
                self.database
                    .write(move |conn| outbox::park(conn, &id, version, &reason))
                    .await
            }
            Outcome::Failed(_) | Outcome::Silent(_) | Outcome::Unavailable(_) => Ok(()),
        };
        match settled {
            Ok(()) => (id, outcome),
            // Delivered again later; that changes nothing over there.
            Err(error) => {
                error.report(&self.reporter, "cannot settle the outbox");
                (id, Outcome::Unavailable(error.to_string()))
            }
        }
    }

    async fn call(&mut self, news: News) -> Outcome {
        let sent = match news {
            News::Saved(movie) => {
                let request = self.request(film_update(*movie));
                let call = self.recommendations.calls.process_film_update(request);
                let client = &self.recommendations.client;
                client.call(self.pace.deadline, call).await.map(drop)
            }
            News::Deleted { id, version } => {
                let removal = RemoveFilmRequest {
                    film_id: id.to_string(),
                    version: Some(version),
                };
                let request = self.request(removal);
                let call = self.recommendations.calls.remove_film(request);
                let client = &self.recommendations.client;
                let sent = client.call(self.pace.deadline, call).await.map(drop);
                if sent
                    .as_ref()
                    .is_err_and(|status| status.code() == Code::Unimplemented)
                {
                    tracing::warn!(film_id = %id, "the recommendations service is too old to be told that film {id} is deleted");
                    return Outcome::Delivered;
                }
                sent
            }
        };
        sent.map_or_else(|status| Outcome::of(&status), |()| Outcome::Delivered)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = request(message);
        // Tells the other side, too, when the answer is not waited for any more.
        request.set_timeout(self.pace.deadline);
        request
    }

    fn report(&self, outcome: &Outcome, parked: i64) {
        match outcome {
            Outcome::Delivered => self.report_delivering(parked),
            Outcome::Refused(_) => {}
            Outcome::Failed(reason) => {
                self.reporter
                    .degraded(format_args!("a film cannot be delivered: {reason}"));
            }
            // The client and the database log what is unavailable.
            Outcome::Silent(reason) | Outcome::Unavailable(reason) => {
                self.reporter
                    .hindered(format_args!("films wait for recommendations: {reason}"));
            }
        }
    }

    /// Says that films are delivered, but for those that are set aside.
    fn report_delivering(&self, parked: i64) {
        match parked {
            0 => self.reporter.ready(),
            1 => self
                .reporter
                .degraded("recommendations refuses 1 film, which is set aside until it is edited"),
            _ => self.reporter.degraded(format_args!(
                "recommendations refuses {parked} films, which are set aside until they are edited"
            )),
        }
    }
}
