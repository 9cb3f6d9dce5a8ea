//! How a system ends: asked to, or killed.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use proto::recommendations::{
    CreateMovieRequest, ListMoviesRequest, catalog_client::CatalogClient,
};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::support::{Bus, Layout, PATIENCE, Store, System, eventually};

#[tokio::test]
async fn it_stops_within_five_seconds_with_streams_and_connections_open() {
    for signal in ["TERM", "INT"] {
        let mut system = System::plain().await;
        let mut events = system.browser().stream("/recommendations/events").await;
        assert!(events.status().is_success(), "{events:?}");
        let _grpc = (system.recommendations().await, system.catalog().await);
        let program = system.program("marquee");
        program.signal(signal);
        let status = program.end_within(Duration::from_secs(5)).await;
        assert_eq!(status.code(), Some(0), "after SIG{signal}");
        let rest = async { while let Ok(Some(_)) = events.chunk().await {} };
        tokio::time::timeout(Duration::from_secs(5), rest)
            .await
            .expect("the stream ends with its server");
    }
}

#[tokio::test]
async fn it_says_where_to_go() {
    let mut system = System::plain().await;
    let address = format!("http://{}", system.http);
    let program = system.program("marquee");
    eventually("the address of the pages to be printed", async || {
        let printed = program.stdout() + &program.stderr();
        printed.contains(&address).then_some(()).ok_or(printed)
    })
    .await;
}

#[tokio::test]
async fn killed_in_the_middle_of_its_work_it_loses_nothing_acknowledged() {
    let mut system = System::plain().await;
    let mut acknowledged = BTreeSet::new();
    // Another user than the one at the browser: what that one is shown comes over the bus.
    system.follow(2, "heist").await;

    for round in 0..3 {
        let writer = Writer::start(&system, round).await;
        writer.has_written(20).await;
        system.program("marquee").kill().await;
        acknowledged.extend(writer.end().await);
        system.launch("marquee");
        system.ready("marquee").await;
    }
    let stored = stored_films(&system).await;
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    // A film whose acknowledgement was cut off may be there too; it is a film like any other.
    each_is_recommended_once(&system, &stored).await;
    let browser = system.browser();
    eventually("each film on the first page to be marked", async || {
        let (films, marks) = browser.try_open("/").await?.films_and_marks();
        (films > 0 && films == marks)
            .then_some(())
            .ok_or(format!("{marks} of {films}"))
    })
    .await;
    system.stop().await;
}

#[tokio::test]
async fn three_killed_programs_come_back_with_everything() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    system.follow(2, "heist").await;
    let writer = Writer::start(&system, 0).await;
    writer.has_written(20).await;
    for name in Layout::Three.programs() {
        system.program(name).kill().await;
    }
    let acknowledged = writer.end().await;
    for name in Layout::Three.programs() {
        system.launch(name);
    }
    for name in Layout::Three.programs() {
        system.ready(name).await;
    }
    let stored = stored_films(&system).await;
    assert!(acknowledged.is_subset(&stored));
    each_is_recommended_once(&system, &stored).await;
    system.stop().await;
}

/// Adds matching films one after the other until the catalog answers no more.
struct Writer {
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Writer {
    async fn start(system: &System, round: u32) -> Self {
        let acknowledged = Arc::default();
        let task = tokio::spawn(write(
            system.catalog().await,
            round,
            Arc::clone(&acknowledged),
        ));
        Self { acknowledged, task }
    }

    async fn has_written(&self, films: usize) {
        eventually("films to be acknowledged", async || {
            let written = self.acknowledged.lock().unwrap().len();
            (written >= films)
                .then_some(())
                .ok_or(format!("{written} films"))
        })
        .await;
    }

    /// The ids of the films that were acknowledged before the catalog died.
    async fn end(self) -> BTreeSet<String> {
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the catalog is dead")
            .unwrap();
        self.acknowledged.lock().unwrap().clone()
    }
}

async fn write(
    mut catalog: CatalogClient<Channel>,
    round: u32,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
) {
    // Fewer than the recommendations that one call can give, all rounds together.
    for number in 0..300 {
        let title = format!("Heist {round}.{number}");
        let film = CreateMovieRequest {
            title,
            genre: "Crime".to_owned(),
            ..Default::default()
        };
        match catalog.create_movie(film).await {
            Ok(movie) => acknowledged.lock().unwrap().insert(movie.into_inner().id),
            Err(_) => return,
        };
    }
}

async fn each_is_recommended_once(system: &System, stored: &BTreeSet<String>) {
    eventually("each film to be recommended, once", async || {
        let films = system.recommended_to(2).await?;
        let once: BTreeSet<String> = films.iter().map(|film| film.id.clone()).collect();
        assert_eq!(films.len(), once.len(), "recommended twice");
        (once == *stored)
            .then_some(())
            .ok_or(format!("{} of {} films", once.len(), stored.len()))
    })
    .await;
}

async fn stored_films(system: &System) -> BTreeSet<String> {
    let mut catalog = system.catalog().await;
    let mut films = BTreeSet::new();
    for page in 1.. {
        let request = ListMoviesRequest {
            page,
            page_size: 100,
            ..Default::default()
        };
        let answer = catalog.list_movies(request).await.unwrap().into_inner();
        if answer.movies.is_empty() || films.len() >= usize::try_from(answer.total).unwrap() {
            break;
        }
        for movie in answer.movies {
            assert!(films.insert(movie.id), "listed twice");
        }
    }
    films
}
