//! What tracing costs: the same work done by three programs in turn, which send no traces, one in a hundred, and all.
//!
//! A program's processor time says more than its speed: the collector and the clients work on the same processors.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use testkit::FakeCollector;
use tokio::task::JoinSet;

use super::{
    films::{self, Film},
    folder,
    http::Visitor,
    keywords,
    program::Program,
    report,
};

const ROUNDS: usize = 15;
const PREFERENCES: usize = 1_000;
/// How many films are added in a round, by how many clients.
const FILMS: usize = 1_000;
const CLIENTS: usize = 8;
/// For how long pages are fetched in a round, over how many connections.
const TIME: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 8;
/// The shares of the traces that are sent.
const SHARES: [Option<&str>; 3] = [None, Some("0.01"), Some("1")];

/// One of the programs, and what it has taken for each piece of work, in microseconds of processor time.
struct Measured {
    program: Program,
    visitor: Visitor,
    films: Vec<f64>,
    pages: Vec<f64>,
    _folder: TempDir,
}

pub(crate) async fn run() {
    let (name, films) = films::films();
    let keywords = keywords::twice_a_film(&films);
    let films = Arc::new(films);
    let collector = FakeCollector::new();
    let mut all = Vec::new();
    for share in SHARES {
        let folder = folder::empty();
        folder::follow(folder.path(), &keywords, PREFERENCES).await;
        let endpoint = collector.endpoint();
        let settings = share.map(|share| {
            [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
                ("OTEL_TRACES_SAMPLER_ARG", share),
            ]
        });
        let settings = settings.as_ref().map_or(&[][..], |settings| settings);
        let program = Program::start_with(folder.path(), settings).await;
        let visitor = Visitor::returning(program.http).await;
        all.push(Measured {
            program,
            visitor,
            films: Vec::new(),
            pages: Vec::new(),
            _folder: folder,
        });
    }
    let mut sent = 0;
    // The first round is not counted.
    for round in 0..=ROUNDS {
        for turn in 0..all.len() {
            // Whoever is first is not always first.
            let place = (turn + round) % SHARES.len();
            let measured = &mut all[place];
            let films = add(measured, &films, round).await;
            let pages = fetch(measured).await;
            if round > 0 {
                measured.films.push(films);
                measured.pages.push(pages);
            }
            sent += collector.forget();
        }
    }
    assert!(sent > ROUNDS * FILMS, "only {sent} spans were sent");
    for (share, measured) in SHARES.iter().zip(&all) {
        let share = match share {
            None => "no traces",
            Some("1") => "all traces",
            Some(_) => "one trace of 100",
        };
        let films = report::compared(&measured.films, &all[0].films);
        report::row(&format!("{share}: a {name} film added and flagged"), &films);
        let pages = report::compared(&measured.pages, &all[0].pages);
        report::row(&format!("{share}: `GET /`"), &pages);
    }
    for measured in all {
        measured.program.stop().await;
    }
}

/// Adds films, waits until they are flagged, and returns what one of them took.
async fn add(measured: &Measured, films: &Arc<Vec<Film>>, round: usize) -> f64 {
    let before = measured.program.processor_time();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (mut catalog, films) = (measured.program.catalog().await, films.clone());
        clients.spawn(async move {
            let first = round * FILMS + client;
            for film in films
                .iter()
                .skip(first)
                .step_by(CLIENTS)
                .take(FILMS / CLIENTS)
            {
                catalog.create_movie(film.movie()).await.unwrap();
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    folder::until_delivered(measured._folder.path()).await;
    micros_each(&measured.program, before, FILMS)
}

/// Fetches the list of films over and over, and returns what one page took.
async fn fetch(measured: &Measured) -> f64 {
    let before = measured.program.processor_time();
    let (rate, _, _) = measured.visitor.load("/", CONNECTIONS, TIME).await;
    let pages = (rate * TIME.as_secs_f64()) as usize;
    micros_each(&measured.program, before, pages)
}

fn micros_each(program: &Program, before: Duration, count: usize) -> f64 {
    (program.processor_time() - before).as_secs_f64() * 1e6 / count as f64
}
