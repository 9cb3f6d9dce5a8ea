//! The actor that compares the films' flags with what recommendations says, and repairs them. Events
//! that were lost, forged or stolen leave no flag wrong for longer than a round takes.

use std::{collections::HashMap, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle,
    WrapFuture,
};
use proto::recommendations::RecommendationStatusesRequest;
use runtime::{
    Backoff, ChildGuard, Handle, Reporter, Wake, grpc, supervision::in_request, telemetry::counted,
};
use storage::Database;
use tokio::sync::oneshot;
use tonic::Code;

use super::movie_repository::{MovieRepository, RepairFlags};
use crate::{
    films::flags::{self, StoredFlag, Truth},
    recommendations::RecommendationsClient,
};

/// How long recommendations may take to answer for a page.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
const WRITE_DEADLINE: Duration = Duration::from_secs(20);

/// How much the reconciler compares, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Films that are compared at once.
    pub page: i64,
    /// Between two pages.
    pub page_pause: Duration,
    /// Between two rounds over all films.
    pub round_pause: Duration,
    /// A flag that differs is looked at again after this time: an event may be on its way.
    pub second_look: Duration,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            page: 500,
            page_pause: Duration::from_secs(1),
            round_pause: Duration::from_secs(600),
            second_look: Duration::from_secs(30),
        }
    }
}

/// Asks for a round over all films at once. Answered when it is complete.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct CompareAllFlags;

/// Asks which version recommendations has reached.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Reached")]
pub struct ReachedVersion;

/// Which version recommendations has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// This one.
    Version(i64),
    /// The recommendations service does not know the question.
    Unknown,
    /// It cannot be asked, for this reason.
    Unavailable(String),
}

/// The actor, which compares a page of films with each [`Wake`]. Recommendations services that do not know the
/// question are asked again in the next round.
pub struct FlagReconciler {
    database: Database,
    films: Handle<MovieRepository>,
    recommendations: RecommendationsClient,
    rate: Rate,
    backoff: Backoff,
    guard: ChildGuard,
    next: Option<SpawnHandle>,
    is_comparing: bool,
    /// The last film of the page before.
    after: String,
    /// Flags of this page that differed when they were first looked at.
    suspects: HashMap<String, StoredFlag>,
    /// Those that wait for a round that has not begun, and for the one that runs.
    waiting: Vec<oneshot::Sender<()>>,
    served: Vec<oneshot::Sender<()>>,
}

/// What comparing a page came to.
struct Compared {
    /// The last film of the page; `None` at the end of all films.
    last: Option<String>,
    /// Flags that differ and were not suspected before.
    suspects: Vec<StoredFlag>,
}

impl FlagReconciler {
    /// Returns the actor, which waits for a while before its first round.
    pub fn new(
        database: Database,
        films: Handle<MovieRepository>,
        recommendations: RecommendationsClient,
        rate: Rate,
        guard: ChildGuard,
    ) -> Self {
        Self {
            database,
            films,
            recommendations,
            rate,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            guard,
            next: None,
            is_comparing: false,
            after: String::new(),
            suspects: HashMap::new(),
            waiting: Vec::new(),
            served: Vec::new(),
        }
    }

    fn wake_in(&mut self, delay: Duration, context: &mut Context<Self>) {
        if let Some(next) = self.next.take() {
            context.cancel_future(next);
        }
        self.next = Some(context.notify_later(Wake, delay));
    }

    fn compared(&mut self, compared: Result<Compared, Trouble>, context: &mut Context<Self>) {
        self.is_comparing = false;
        self.guard.reporter().handled(1);
        let is_urgent = !(self.waiting.is_empty() && self.served.is_empty());
        let delay = match compared {
            Ok(compared) if !compared.suspects.is_empty() => {
                let suspects = compared.suspects.into_iter();
                self.suspects = suspects.map(|flag| (flag.film_id.clone(), flag)).collect();
                self.rate.second_look
            }
            Ok(Compared { last, .. }) => {
                self.backoff.reset();
                self.suspects.clear();
                match last {
                    Some(last) => {
                        self.after = last;
                        if is_urgent {
                            Duration::ZERO
                        } else {
                            self.rate.page_pause
                        }
                    }
                    None => self.end_round(),
                }
            }
            Err(Trouble::Unknown) => {
                tracing::debug!("the recommendations service is too old to tell of flags");
                self.end_round()
            }
            Err(Trouble::Unavailable(reason)) => {
                tracing::debug!(reason, "flags cannot be compared: {reason}");
                self.backoff.next_delay()
            }
        };
        self.wake_in(delay, context);
    }

    /// Answers those that the round served, and returns when the next one begins.
    fn end_round(&mut self) -> Duration {
        self.after.clear();
        for served in self.served.drain(..) {
            // The one that asked may have stopped waiting.
            let _ = served.send(());
        }
        if self.waiting.is_empty() {
            self.rate.round_pause
        } else {
            Duration::ZERO
        }
    }
}

runtime::requested!(FlagReconciler);

impl Actor for FlagReconciler {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.guard.ready();
        self.wake_in(self.rate.page_pause, context);
    }
}

impl Handler<Wake> for FlagReconciler {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        self.next = None;
        if self.is_comparing {
            return;
        }
        self.is_comparing = true;
        if self.after.is_empty() && self.suspects.is_empty() {
            self.served.append(&mut self.waiting);
        }
        let page = Page {
            database: self.database.clone(),
            films: self.films.clone(),
            recommendations: self.recommendations.clone(),
            reporter: self.guard.reporter(),
            after: self.after.clone(),
            limit: self.rate.page,
            suspects: std::mem::take(&mut self.suspects),
        };
        let comparing = page.compare().into_actor(self);
        context.spawn(comparing.map(|compared, reconciler, context| {
            reconciler.compared(compared, context);
        }));
    }
}

impl Handler<CompareAllFlags> for FlagReconciler {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: CompareAllFlags, context: &mut Context<Self>) -> Self::Result {
        let (done, round) = oneshot::channel();
        self.waiting.push(done);
        if !self.is_comparing {
            self.after.clear();
            self.suspects.clear();
            self.wake_in(Duration::ZERO, context);
        }
        in_request(async move {
            // An actor that restarts begins a round by itself.
            let _ = round.await;
        })
    }
}

impl Handler<ReachedVersion> for FlagReconciler {
    type Result = ResponseFuture<Reached>;

    fn handle(&mut self, _: ReachedVersion, _: &mut Context<Self>) -> Self::Result {
        let recommendations = self.recommendations.clone();
        in_request(async move {
            match truths(recommendations, Vec::new()).await {
                Ok((version, _)) => Reached::Version(version),
                Err(Trouble::Unknown) => Reached::Unknown,
                Err(Trouble::Unavailable(reason)) => Reached::Unavailable(reason),
            }
        })
    }
}

/// Why a page was not compared.
enum Trouble {
    /// The recommendations service does not know the question.
    Unknown,
    Unavailable(String),
}

/// A page of films that is being compared.
struct Page {
    database: Database,
    films: Handle<MovieRepository>,
    recommendations: RecommendationsClient,
    reporter: Reporter,
    after: String,
    limit: i64,
    suspects: HashMap<String, StoredFlag>,
}

impl Page {
    async fn compare(self) -> Result<Compared, Trouble> {
        let (after, limit) = (self.after.clone(), self.limit);
        let stored = self
            .database
            .read(move |conn| flags::page(conn, &after, limit));
        let stored = stored.await.map_err(unavailable)?;
        if stored.is_empty() {
            return Ok(Compared {
                last: None,
                suspects: Vec::new(),
            });
        }
        let last = stored.last().map(|flag| flag.film_id.clone());
        let ids = stored.iter().map(|flag| flag.film_id.clone()).collect();
        let (_, truths) = truths(self.recommendations.clone(), ids).await?;
        let (mut suspects, mut repairs) = (Vec::new(), Vec::new());
        for flag in stored {
            let Some(truth) = truths
                .get(&flag.film_id)
                .filter(|truth| flag.differs_from(truth))
            else {
                continue;
            };
            if self.suspects.get(&flag.film_id) == Some(&flag) {
                repairs.push((flag, *truth));
            } else if self.suspects.is_empty() {
                suspects.push(flag);
            }
        }
        if !repairs.is_empty() {
            let repaired = self.films.ask(RepairFlags(repairs), WRITE_DEADLINE).await;
            let repaired = repaired.map_err(unavailable)?.map_err(unavailable)?;
            let count = repaired as u64;
            self.reporter.count("flags repaired", count);
            tracing::warn!(
                count,
                "repaired {} that differed from what recommendations says",
                counted(count, "flag")
            );
        }
        Ok(Compared { last, suspects })
    }
}

fn unavailable(error: impl std::fmt::Display) -> Trouble {
    Trouble::Unavailable(error.to_string())
}

/// Asks recommendations which version it has reached and what it says of those of the films `ids` of
/// which it has sent every event.
async fn truths(
    mut recommendations: RecommendationsClient,
    ids: Vec<String>,
) -> Result<(i64, HashMap<String, Truth>), Trouble> {
    let mut request = grpc::request(RecommendationStatusesRequest { film_ids: ids });
    request.set_timeout(CALL_DEADLINE);
    let call = recommendations.calls.get_recommendation_statuses(request);
    let answer = match recommendations.client.call(CALL_DEADLINE, call).await {
        Ok(answer) => answer,
        Err(status) if status.code() == Code::Unimplemented => return Err(Trouble::Unknown),
        Err(status) => return Err(unavailable(status.message())),
    };
    let version = answer.version;
    // An event that is not sent yet sets the flag when it comes.
    let told = answer.films.into_iter().filter(|film| !film.is_pending);
    let truths = told.map(|film| {
        let is_recommended = film.is_recommended;
        (
            film.film_id,
            Truth {
                is_recommended,
                version,
            },
        )
    });
    Ok((version, truths.collect()))
}
