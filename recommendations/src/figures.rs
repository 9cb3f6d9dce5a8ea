//! What the service tells Prometheus of its work: the matcher's index, how long matching takes, what waits, and who has the lease.

use std::time::{Duration, Instant};

use chrono::NaiveDateTime;
use diesel::QueryResult;
use runtime::{
    Group,
    metrics::{Description, Gauge, Histogram, Kind, Metrics},
};
use storage::{Database, DbConnection, count_rows};

use crate::{
    lease::Held,
    matching::Index,
    store::{outbox, versions},
};

/// The bounds of the time of a match, in seconds: most take some microseconds, a film that a million follow some milliseconds.
const MATCH_SECONDS: [f64; 15] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.025, 0.05, 0.1, 1.0,
];

/// How often the memory of the index is added up at most, and how many times longer than it takes.
const WEIGH_INTERVAL: Duration = Duration::from_secs(30);
const WEIGH_SHARE: u32 = 1_000;

/// What the matcher tells of itself.
#[derive(Debug, Clone)]
pub struct MatcherFigures {
    preferences: Gauge,
    keywords: Gauge,
    films: Gauge,
    bytes: Gauge,
    /// How long it took to find the users of a film.
    pub users_search: Histogram,
    /// How long it took to find the films of a keyword.
    pub films_search: Histogram,
    weigh_at: Instant,
}

impl MatcherFigures {
    /// Figures that `metrics` show, and that are unknown until there is an index.
    pub fn new(metrics: &Metrics) -> Self {
        let gauge = |name, help| {
            metrics.gauge(&Description {
                name,
                help,
                ..Description::default()
            })
        };
        let search = metrics.histogram(
            &Description {
                name: "marquee_match_seconds",
                help: "How long the index took to find the users of a film, or the films of a keyword.",
                labels: &["search"],
                ..Description::default()
            },
            &MATCH_SECONDS,
        );
        Self {
            preferences: gauge(
                "marquee_matcher_preferences",
                "Preferences in the matcher's index.",
            ),
            keywords: gauge(
                "marquee_matcher_keywords",
                "Distinct keywords in the matcher's index.",
            ),
            films: gauge("marquee_matcher_films", "Films in the matcher's index."),
            bytes: gauge(
                "marquee_matcher_index_bytes",
                "Memory of the matcher's index, about; added up every half minute at most.",
            ),
            users_search: search.with_label_values(&["users"]),
            films_search: search.with_label_values(&["films"]),
            weigh_at: Instant::now(),
        }
    }

    /// There is no index.
    pub fn clear(&mut self) {
        for gauge in [&self.preferences, &self.keywords, &self.films, &self.bytes] {
            gauge.clear();
        }
        self.weigh_at = Instant::now();
    }

    /// The index is as `index`.
    pub fn show(&mut self, index: &Index) {
        self.preferences.set(index.preferences() as f64);
        self.keywords.set(index.keywords() as f64);
        self.films.set(index.films() as f64);
        let begun = Instant::now();
        if begun >= self.weigh_at {
            self.bytes.set(index.memory_bytes() as f64);
            let pause = (begun.elapsed() * WEIGH_SHARE).max(WEIGH_INTERVAL);
            self.weigh_at = begun + pause;
        }
    }
}

/// Shows whether this replica holds the lease.
pub fn show_lease(metrics: &Metrics, held: Held) {
    let description = Description {
        name: "marquee_lease_held",
        help: "1 while this replica delivers the outbox and works off the preferences of the backlog.",
        ..Description::default()
    };
    metrics.read(Kind::Gauge, &description, move |samples| {
        samples.add(&[], f64::from(u8::from(held.is_held())));
    });
}

/// Starts the actor that finds out what waits in `database`.
pub fn sample(group: &Group, database: &Database) {
    let metrics = group.metrics();
    let [rows, age] = storage::outbox_gauges(group);
    let backlog = |kind| {
        metrics.gauge(&Description {
            name: "marquee_backlog_rows",
            help: "Films and preferences that wait to be matched in the background, and shards of films that replicas work on, counted up to 100,000.",
            constant: &[("kind", kind)],
            labels: &[],
        })
    };
    let backlog = ["film", "preference", "shard"].map(backlog);
    let [films, preferences, shards] = backlog;
    let gauges = [rows, age, films, preferences, shards];
    let name = "recommendations-database-sampler";
    database.sample(group, name, gauges, |conn| waiting(conn, versions::now()));
}

/// What waits: events, for how long the oldest of them has, films, preferences, and shards of films.
fn waiting(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<[Option<f64>; 5]> {
    let oldest = outbox::oldest_since(conn)?;
    // The clock may have been set.
    let age = oldest.map_or(0, |since| (now - since).num_milliseconds().max(0));
    let mut count = |table| Ok::<_, diesel::result::Error>(Some(count_rows(conn, table)? as f64));
    Ok([
        count("outbox")?,
        Some(age as f64 / 1_000.0),
        count("backlog WHERE film_id IS NOT NULL")?,
        count("backlog WHERE film_id IS NULL")?,
        count("shards")?,
    ])
}
