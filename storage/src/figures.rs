//! What a database's executors tell Prometheus: the connections of their pools, and how long queries wait and take.

use std::sync::{Arc, Weak};

use runtime::metrics::{Description, Histogram, Kind, Metrics, SECONDS};

use crate::pool::DbPool;

/// What the metrics call those who run queries.
pub(crate) const READER: &str = "reader";
pub(crate) const WRITER: &str = "writer";
pub(crate) const APART_WRITER: &str = "apart_writer";

/// How long the queries of one kind of executor wait, and how long they take.
#[derive(Debug, Clone)]
pub(crate) struct QueryTimes {
    /// From being asked for until an executor has time for it.
    pub(crate) wait: Histogram,
    /// Reads one by one, writes as many as share a transaction; with the wait for a connection.
    pub(crate) work: Histogram,
}

/// Shows the pools of `database` as long as they are there, and how long the queries of each executor take.
pub(crate) fn show(
    metrics: &Metrics,
    database: &str,
    readers: &Arc<DbPool>,
    writers: &Arc<DbPool>,
) -> impl Fn(&str) -> QueryTimes + use<> {
    let constant = [("database", database)];
    let describe = |name, help, labels| Description {
        name,
        help,
        constant: &constant,
        labels,
    };
    let pools = [
        (READER, Arc::downgrade(readers)),
        (WRITER, Arc::downgrade(writers)),
    ];
    let in_pools = move |see: &mut dyn FnMut(&str, &DbPool)| {
        let pools = pools.iter().map(|(who, pool)| (who, Weak::upgrade(pool)));
        for (who, pool) in pools {
            if let Some(pool) = pool {
                see(who, &pool);
            }
        }
    };
    let connections = describe(
        "marquee_database_connections",
        "Connections that a pool has open.",
        &["executor", "state"],
    );
    let seen = in_pools.clone();
    metrics.read(Kind::Gauge, &connections, move |samples| {
        seen(&mut |executor, pool| {
            let state = pool.state();
            let in_use = state.connections.saturating_sub(state.idle_connections);
            samples.add(&[executor, "idle"], f64::from(state.idle_connections));
            samples.add(&[executor, "in_use"], f64::from(in_use));
        });
    });
    let limit = describe(
        "marquee_database_connections_limit",
        "How many connections a pool may have open.",
        &["executor"],
    );
    metrics.read(Kind::Gauge, &limit, move |samples| {
        in_pools(&mut |executor, pool| samples.add(&[executor], f64::from(pool.max_size())));
    });
    let wait = describe(
        "marquee_database_wait_seconds",
        "How long reads and writes waited until an executor had time for them.",
        &["executor"],
    );
    let wait = metrics.histogram(&wait, &SECONDS);
    let work = describe(
        "marquee_database_work_seconds",
        "How long reads took, and transactions of the writes that shared one.",
        &["executor"],
    );
    let work = metrics.histogram(&work, &SECONDS);
    move |executor| QueryTimes {
        wait: wait.with_label_values(&[executor]),
        work: work.with_label_values(&[executor]),
    }
}
