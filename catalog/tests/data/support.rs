//! A catalog without pages, on a test database.

use std::{net::SocketAddr, time::Duration};

use catalog::{
    RecommendationsClient,
    actors::{
        film_courier::{FilmCourier, Pace},
        flag_reconciler::{FlagReconciler, Rate},
        movie_repository::{CreateFilm, GetFilm, MovieRepository},
        status_consumer::StatusHandler,
    },
    changes::Changes,
    films::{self, Film, FilmDraft, FilmFields, FilmId},
};
use diesel::connection::SimpleConnection;
use runtime::{Handle, Place, Process, Supervisor};
use storage::{Database, testing::TestDatabase};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The courier's pace, with delays that tests can wait for.
pub(crate) const PACE: Pace = Pace {
    in_flight: 8,
    deadline: Duration::from_millis(500),
    first_delay: Duration::from_millis(10),
    max_delay: Duration::from_millis(100),
    poll: Duration::from_millis(50),
};

/// The reconciler's rate: small pages, and no round unless a test asks for one.
pub(crate) const RATE: Rate = Rate {
    page: 2,
    page_pause: Duration::from_secs(3_600),
    round_pause: Duration::from_secs(3_600),
    second_look: Duration::from_millis(10),
};

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) films: Handle<MovieRepository>,
    pub(crate) changes: Changes,
    pub(crate) reconciler: Handle<FlagReconciler>,
    pub(crate) supervisor: Supervisor,
    pub(crate) process: Process,
}

impl World {
    /// Starts a catalog whose recommendations service is, or is not, at `recommender`.
    pub(crate) async fn start(db: &TestDatabase, recommender: SocketAddr) -> Self {
        Self::start_at_pace(db, recommender, PACE).await
    }

    pub(crate) async fn start_at_pace(
        db: &TestDatabase,
        recommender: SocketAddr,
        pace: Pace,
    ) -> Self {
        let process = Process::new();
        let supervisor = Supervisor::new("catalog", &process);
        let group = supervisor.group("data");
        let steps = films::migrations();
        let database = Database::open(&group, "movies", "test", db.url(), steps)
            .await
            .unwrap();
        let line = RecommendationsClient::new(&recommender.into(), &process);
        let asked = line.clone();
        let courier = {
            let database = database.clone();
            group.supervise("film-courier", Place::Here, move |guard| {
                FilmCourier::new(database.clone(), line.clone(), pace, guard)
            })
        };
        let changes = Changes::default();
        let films = {
            let (database, changes) = (database.clone(), changes.clone());
            group.supervise("movie-repository", Place::Here, move |guard| {
                MovieRepository::new(database.clone(), courier.clone(), changes.clone(), guard)
            })
        };
        let reconciler = {
            let (database, films) = (database.clone(), films.clone());
            group.supervise("flag-reconciler", Place::Here, move |guard| {
                let (database, films) = (database.clone(), films.clone());
                FlagReconciler::new(database, films, asked.clone(), RATE, guard)
            })
        };
        Self {
            database,
            films,
            changes,
            reconciler,
            supervisor,
            process,
        }
    }

    pub(crate) async fn stop(self) {
        self.supervisor.stop(Duration::from_secs(2)).await;
    }

    pub(crate) async fn create(&self, title: &str) -> Film {
        self.films
            .ask(CreateFilm::new(draft(title)), DEADLINE)
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) fn status_handler(&self) -> StatusHandler {
        StatusHandler::new(self.films.clone(), self.reconciler.clone())
    }

    pub(crate) async fn is_recommended(&self, id: &FilmId) -> bool {
        let film = self.films.ask(GetFilm(id.clone()), DEADLINE).await;
        film.unwrap().unwrap().is_recommended
    }

    /// How many rows the outbox has.
    pub(crate) async fn outbox_len(&self) -> i64 {
        self.count("SELECT COUNT(*) AS count FROM movie_outbox")
            .await
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        use diesel::RunQueryDsl;
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            count: i64,
        }
        let query = move |conn: &mut _| diesel::sql_query(sql).get_result::<Row>(conn);
        self.database.read(query).await.unwrap().count
    }
}

pub(crate) fn fields(title: &str) -> FilmFields {
    FilmFields {
        title: title.into(),
        ..FilmFields::default()
    }
}

pub(crate) fn draft(title: &str) -> FilmDraft {
    FilmDraft::parse(&fields(title)).unwrap()
}

/// An address where no server listens.
pub(crate) fn nowhere() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Runs SQL past the catalog.
pub(crate) fn execute(db: &TestDatabase, sql: &str) {
    std::thread::scope(|scope| {
        scope.spawn(|| db.connect().unwrap().batch_execute(sql).unwrap());
    });
}
