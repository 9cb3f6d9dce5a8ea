//! The actor that asks a database for figures now and then, such as how much waits in a table.
//!
//! `/metrics` is read from what it found last: however often that is, the database is asked no more often, and while it does not
//! answer the figures are absent.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use diesel::{QueryResult, RunQueryDsl, sql_query, sql_types::BigInt};
use runtime::{
    Backoff, ChildGuard, Group, Place, Wake,
    metrics::{Description, Gauge},
};
use tokio::time::timeout;

use crate::{Database, DbConnection, Error};

/// How often the database is asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// How seldom, while it does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the answer may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// For how long an answer is the present state.
const LASTING: Duration = Duration::from_secs(15);

/// How many rows are counted at most: nothing is learned from more.
const MOST_ROWS: i64 = 100_000;

/// Asks for the figures of the gauges, in their order. None is a figure that there is not.
type Question = dyn Fn(&mut DbConnection) -> QueryResult<Vec<Option<f64>>> + Send + Sync;

/// Asks a database for figures now and then.
struct Sampler {
    guard: ChildGuard,
    database: Database,
    gauges: Vec<Gauge>,
    question: Arc<Question>,
    backoff: Backoff,
}

impl Database {
    /// Starts the actor `name` in `group`, which puts what `question` finds into `gauges`, in their order. A figure that there is not,
    /// or that cannot be had, is absent.
    pub fn sample<const N: usize>(
        &self,
        group: &Group,
        name: &str,
        gauges: [Gauge; N],
        question: impl Fn(&mut DbConnection) -> QueryResult<[Option<f64>; N]> + Send + Sync + 'static,
    ) {
        let database = self.clone();
        let question: Arc<Question> = Arc::new(move |conn| Ok(question(conn)?.to_vec()));
        group.supervise(name, Place::Here, move |guard| Sampler {
            guard,
            database: database.clone(),
            gauges: gauges.to_vec(),
            question: question.clone(),
            backoff: Backoff::new(2 * INTERVAL, PATIENCE),
        });
    }
}

/// Shows how many rows wait in the outbox of the service that `group` is of, and for how many seconds the oldest of them has: gauges
/// to be [sampled](Database::sample).
pub fn outbox_gauges(group: &Group) -> [Gauge; 2] {
    let service = group.service();
    let described = [
        (
            "marquee_outbox_rows",
            "What the service has not delivered yet, counted up to 100,000.",
        ),
        (
            "marquee_outbox_oldest_seconds",
            "For how long the oldest of that has waited; 0 if nothing waits.",
        ),
    ];
    described.map(|(name, help)| {
        group.metrics().gauge(&Description {
            name,
            help,
            constant: &[("service", &service)],
            labels: &[],
        })
    })
}

/// Counts the rows of `table`, which is written as after FROM, condition included; no more than 100,000 of them, so that a table
/// that has grown large costs little.
///
/// # Errors
///
/// If the database fails.
pub fn count_rows(conn: &mut DbConnection, table: &'static str) -> QueryResult<i64> {
    #[derive(diesel::QueryableByName)]
    struct Counted {
        #[diesel(sql_type = BigInt)]
        rows_counted: i64,
    }
    let counted: Counted = sql_query(format!(
        "SELECT COUNT(*) AS rows_counted FROM (SELECT 1 AS one FROM {table} LIMIT {MOST_ROWS}) AS counted"
    ))
    .get_result(conn)?;
    Ok(counted.rows_counted)
}

impl Sampler {
    fn conclude(&mut self, found: Result<Vec<Option<f64>>, Error>, context: &mut Context<Self>) {
        self.guard.reporter().handled(1);
        let delay = match found {
            Ok(found) => {
                for (gauge, value) in self.gauges.iter().zip(found) {
                    match value {
                        Some(value) => gauge.set_for(value, LASTING),
                        None => gauge.clear(),
                    }
                }
                self.backoff.reset();
                self.guard.ready();
                INTERVAL
            }
            Err(error) => {
                self.gauges.iter().for_each(Gauge::clear);
                error.report(&self.guard.reporter(), "cannot count what waits");
                self.backoff.next_delay()
            }
        };
        context.notify_later(Wake, delay);
    }
}

impl Actor for Sampler {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
    }
}

impl Handler<Wake> for Sampler {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        let (database, question) = (self.database.clone(), self.question.clone());
        let asking = async move {
            let read = database.read(move |conn| question(conn));
            timeout(DEADLINE, read)
                .await
                .unwrap_or(Err(Error::Deadline(DEADLINE)))
        };
        let asked = asking.into_actor(self);
        context.spawn(asked.map(|found, sampler, context| sampler.conclude(found, context)));
    }
}
