//! `ProcessFilmUpdate`: new films, each on disk with its recommendations before it is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{films, films::Film, folder, keywords, program::Program, report, report::Spread};

const WARM_UP: Duration = Duration::from_secs(2);
const TIME: Duration = Duration::from_secs(6);
const PREFERENCES: [usize; 3] = [1_000, 100_000, 1_000_000];

pub(crate) async fn run() {
    let (name, films) = films::films();
    let keywords = keywords::twice_a_film(&films);
    let matches: usize = keywords::matches(&keywords, &films).iter().sum();
    let mean = matches as f64 / films.len() as f64;
    let films = Arc::new(films);
    for total in PREFERENCES {
        let folder = folder::empty();
        folder::follow(folder.path(), &keywords, total).await;
        let program = Program::start(folder.path()).await;
        // Eight clients that wait for each answer, and eight that have several calls on their way.
        for (clients, together) in [(1, 1), (8, 1), (8, 8)] {
            measure(&program, &films, clients, together, WARM_UP).await;
            let (rate, times) = measure(&program, &films, clients, together, TIME).await;
            let calls = match together {
                1 => String::new(),
                _ => format!(", {together} calls at a time each"),
            };
            report::row(
                &format!(
                    "`ProcessFilmUpdate`, {name} films with {mean:.1} matches, {total} preferences, {clients} clients{calls}"
                ),
                &format!("{rate:.0}/s, {}", times.text()),
            );
        }
        program.stop().await;
    }
}

async fn measure(
    program: &Program,
    films: &Arc<Vec<Film>>,
    clients: usize,
    together: usize,
    time: Duration,
) -> (f64, Spread) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..clients {
        let client = program.recommendations().await;
        for _ in 0..together {
            let (mut client, films, next) = (client.clone(), films.clone(), next.clone());
            calls.spawn(async move {
                let mut times = Vec::new();
                while begun.elapsed() < time {
                    let film = &films[next.fetch_add(1, Ordering::Relaxed) % films.len()];
                    let update = film.update();
                    let called = Instant::now();
                    client.process_film_update(update).await.unwrap();
                    times.push(called.elapsed());
                }
                times
            });
        }
    }
    let mut times = Vec::new();
    while let Some(done) = calls.join_next().await {
        times.extend(done.unwrap());
    }
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    (rate, Spread::new(times))
}
