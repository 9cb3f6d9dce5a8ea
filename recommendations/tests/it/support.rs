//! Replicas of the service on a test database, and what they have stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use diesel::{deserialize::QueryableByName, prelude::*, sql_query, sql_types};
use proto::recommendations::{
    CreatePreferenceRequest, DeletePreferenceRequest, FilmUpdate, GetPreferencesRequest,
    MovieRecommendation, RecommendationsRequest, RemoveFilmRequest,
    recommendations_server::Recommendations,
};
use recommendations::{
    grpc::RecommendationsService,
    lease::LeaseTimes,
    matching::Keyword,
    store::{
        self,
        films::FilmFacts,
        outbox::{self, Waiting},
        reconcile::Limits,
    },
    system::{Engine, Tuning},
};
use runtime::{Process, Supervisor};
use storage::{
    Database, DbConnection,
    testing::{self, TestDatabase},
};
use tonic::{Code, Request, Status};

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` in an actix system of its own for every kind of database there is.
pub(crate) fn on_every_database<F: Future<Output = ()>>(
    name: &str,
    test: impl Fn(TestDatabase) -> F,
) {
    for database in testing::databases(name) {
        actix::System::new().block_on(test(database));
    }
}

/// One replica: an engine with actors of its own. Its calls are made without a network.
pub(crate) struct Replica {
    pub(crate) engine: Engine,
    pub(crate) service: RecommendationsService,
    pub(crate) supervisor: Supervisor,
    pub(crate) database: Database,
    pub(crate) process: Process,
}

/// Small steps and short waits, so that little data takes every path.
pub(crate) fn small_steps() -> Tuning {
    Tuning {
        limits: Limits {
            rows: 2,
            films: 2,
            scan: 4,
            ..Limits::default()
        },
        lease: LeaseTimes {
            renewal: Duration::from_millis(20),
            patience: Duration::from_millis(400),
        },
    }
}

/// A replica that waits very long before it takes over from another.
pub(crate) fn never_takes_over() -> LeaseTimes {
    LeaseTimes {
        renewal: Duration::from_millis(20),
        patience: Duration::from_secs(3_600),
    }
}

impl Replica {
    /// Starts a replica on `database`, and waits until it can serve.
    pub(crate) async fn start(database: &TestDatabase, tuning: &Tuning) -> Self {
        let process = Process::new();
        let supervisor = Supervisor::new("recommendations", &process);
        let group = supervisor.group("database");
        let migrations = store::migrations();
        let database = Database::open(&group, "db", "DATABASE_URL", database.url(), migrations)
            .await
            .unwrap();
        let engine = Engine::start(
            &supervisor,
            &database,
            tuning,
            uuid::Uuid::new_v4().to_string(),
        )
        .await;
        let service =
            RecommendationsService::new(engine.recommender.clone(), process.shutdown.clone());
        let replica = Self {
            engine,
            service,
            supervisor,
            database,
            process,
        };
        until("the replica is ready", async || {
            let actors = replica.process.registry.actors();
            actors
                .iter()
                .all(|actor| actor.not_ready_reason().is_none())
        })
        .await;
        replica
    }

    pub(crate) async fn stop(self) {
        self.process.shutdown.begin();
        self.supervisor.stop(Duration::from_secs(5)).await;
    }

    pub(crate) async fn follow(&self, user_id: i32, keyword: &str) {
        let keyword = keyword.to_owned();
        let request = CreatePreferenceRequest {
            user_id,
            keyword: keyword.clone(),
        };
        let preference = self.service.create_preference(Request::new(request)).await;
        let preference = preference.unwrap().into_inner();
        assert_eq!((preference.user_id, preference.keyword), (user_id, keyword));
    }

    pub(crate) async fn stop_following(&self, user_id: i32, keyword: &str) -> bool {
        let keyword = keyword.to_owned();
        let request = Request::new(DeletePreferenceRequest { user_id, keyword });
        let deleted = self.service.delete_preference(request).await;
        deleted.unwrap().into_inner().success
    }

    pub(crate) async fn save(&self, film: FilmUpdate) {
        let saved = self.service.process_film_update(Request::new(film)).await;
        assert!(saved.unwrap().into_inner().success);
    }

    pub(crate) async fn remove(&self, film: &str, version: Option<i64>) -> bool {
        let film_id = film.to_owned();
        let request = Request::new(RemoveFilmRequest { film_id, version });
        let removed = self.service.remove_film(request).await;
        removed.unwrap().into_inner().success
    }

    pub(crate) async fn page(
        &self,
        user: i32,
        offset: i32,
        max: i32,
    ) -> (Vec<MovieRecommendation>, i32) {
        let request = RecommendationsRequest {
            user_id: user.to_string(),
            max_results: max,
            offset,
        };
        let page = self
            .service
            .get_recommendations(Request::new(request))
            .await;
        let page = page.unwrap().into_inner();
        (page.recommendations, page.total)
    }

    /// The ids of the films recommended to `user`, newest first.
    pub(crate) async fn recommended(&self, user: i32) -> Vec<String> {
        let (films, total) = self.page(user, 0, 1_000).await;
        assert_eq!(films.len(), total as usize);
        films.into_iter().map(|film| film.id).collect()
    }

    /// The keywords of `user`, each with how many films it matches.
    pub(crate) async fn keywords(&self, user_id: i32) -> Vec<(String, Option<i32>)> {
        let request = Request::new(GetPreferencesRequest { user_id });
        let preferences = self.service.get_preferences(request).await;
        let preferences = preferences.unwrap().into_inner().preferences;
        preferences
            .into_iter()
            .map(|preference| (preference.keyword, preference.matching_films))
            .collect()
    }

    /// All stored recommendations: user, film, row's id.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        let all = "SELECT user_id, film_id, id FROM recommendations ORDER BY user_id, film_id";
        self.database
            .read(move |conn| sql_query(all).load(conn))
            .await
            .unwrap()
    }

    pub(crate) async fn pairs(&self) -> BTreeSet<(i32, String)> {
        let rows = self.rows().await;
        let pairs: BTreeSet<_> = rows
            .iter()
            .map(|row| (row.user_id, row.film_id.clone()))
            .collect();
        assert_eq!(pairs.len(), rows.len(), "nothing is recommended twice");
        pairs
    }

    pub(crate) async fn backlog(&self) -> i64 {
        let pieces =
            "SELECT (SELECT COUNT(*) FROM backlog) + (SELECT COUNT(*) FROM shards) AS number";
        self.number(pieces).await
    }

    pub(crate) async fn until_backlog_is_empty(&self) {
        until("the backlog is empty", async || self.backlog().await == 0).await;
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        let query = query.to_owned();
        let read = move |conn: &mut _| sql_query(query).get_result::<Number>(conn);
        self.database.read(read).await.unwrap().number
    }

    pub(crate) async fn execute(&self, statement: &str) {
        let statement = statement.to_owned();
        let write = move |conn: &mut _| sql_query(&statement).execute(conn);
        self.database.write(write).await.unwrap();
    }

    pub(crate) async fn events(&self) -> Vec<Waiting> {
        self.database
            .read(|conn| outbox::oldest(conn, 100_000))
            .await
            .unwrap()
    }

    /// What the outbox says last of each film.
    pub(crate) async fn statuses(&self) -> BTreeMap<String, bool> {
        let events = self.events().await;
        events
            .into_iter()
            .map(|event| (event.key, event.payload.contains("true")))
            .collect()
    }

    /// Checks that counts and events say what the rows say; returns the rows.
    pub(crate) async fn consistent(&self) -> BTreeSet<(i32, String)> {
        let pairs = self.pairs().await;
        let recommended: BTreeSet<&String> = pairs.iter().map(|(_, film)| film).collect();
        for (film, status) in self.statuses().await {
            assert_eq!(
                status,
                recommended.contains(&film),
                "the last event of {film}"
            );
        }
        let miscounted = "SELECT COUNT(*) AS number FROM films f WHERE f.recommended_count <> \
            (SELECT COUNT(*) FROM recommendations r WHERE r.film_id = f.film_id)";
        assert_eq!(
            self.number(miscounted).await,
            0,
            "films that are miscounted"
        );
        let unstated = "SELECT COUNT(*) AS number FROM films f WHERE f.deleted = FALSE \
            AND (f.stated IS NULL OR f.stated <> (f.recommended_count > 0))";
        assert_eq!(
            self.number(unstated).await,
            0,
            "films whose status was not told"
        );
        pairs
    }
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = sql_types::Integer)]
    pub(crate) user_id: i32,
    #[diesel(sql_type = sql_types::Text)]
    pub(crate) film_id: String,
    #[diesel(sql_type = sql_types::Integer)]
    pub(crate) id: i32,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = sql_types::BigInt)]
    number: i64,
}

/// A film as our catalog sends it.
pub(crate) fn film(id: &str, title: &str, version: i64) -> FilmUpdate {
    FilmUpdate {
        film_id: id.into(),
        title: title.into(),
        rating: 8.7,
        version: Some(version),
        ..FilmUpdate::default()
    }
}

/// Whether a film with this title matches, by the definition.
pub(crate) fn title_matches(title: &str, keyword: &str) -> bool {
    let facts = FilmFacts {
        title: title.into(),
        ..FilmFacts::default()
    };
    recommendations::matching::matches(&facts.words(), &Keyword::parse(keyword).unwrap())
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            // Until the next question.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!("waited in vain until {what}");
    }
}

/// The code and the sentence of a refused call.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}

/// Something to do with a connection, on a thread that may block.
pub(crate) fn blocking<R: Send + 'static>(
    database: &TestDatabase,
    work: impl FnOnce(&mut DbConnection) -> R + Send + 'static,
) -> R {
    let (sent, received) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut conn = database.connect().unwrap();
            sent.send(work(&mut conn)).unwrap();
        });
    });
    received.recv().unwrap()
}
