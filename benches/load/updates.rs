//! `ProcessFilmUpdate`: new films, each on disk with its recommendations before it is answered; beside a server that reads
//! the same calls and answers at once.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use proto::recommendations::{
    FilmUpdate, FilmUpdateResponse, recommendations_client::RecommendationsClient,
};
use tokio::task::JoinSet;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, UnaryService},
};
use tonic_prost::ProstCodec;

use super::{
    films,
    films::Film,
    folder, keywords,
    program::Program,
    report,
    report::Spread,
    served::{self, Served},
};

const WARM_UP: Duration = Duration::from_secs(2);
const TIME: Duration = Duration::from_secs(6);
/// Clients that wait for each answer, and how many calls each has on its way.
const LOADS: [(usize, usize); 3] = [(1, 1), (8, 1), (8, 8)];
const PREFERENCES: [usize; 3] = [1_000, 100_000, 1_000_000];

pub(crate) async fn run() {
    let (name, films) = films::films();
    let keywords = keywords::twice_a_film(&films);
    let matches: usize = keywords::matches(&keywords, &films).iter().sum();
    let mean = matches as f64 / films.len() as f64;
    let films = Arc::new(films);
    let bare = bare(&films).await;
    for total in PREFERENCES {
        let folder = folder::empty();
        folder::follow(folder.path(), &keywords, total).await;
        let program = Program::start(folder.path()).await;
        for (clients, together) in LOADS {
            measure(program.grpc, &films, clients, together, WARM_UP).await;
            let before = program.processor_time();
            let (rate, times) = measure(program.grpc, &films, clients, together, TIME).await;
            let taken = (program.processor_time() - before).as_secs_f64() * 1e3;
            let each = taken / (rate * TIME.as_secs_f64());
            let calls = match together {
                1 => String::new(),
                _ => format!(", {together} calls at a time each"),
            };
            report::row(
                &format!(
                    "`ProcessFilmUpdate`, {name} films with {mean:.1} matches, {total} preferences, {clients} clients{calls}"
                ),
                &format!(
                    "{rate:.0}/s, {}, {:.2} of bare tonic, {each:.2} ms of processor time each",
                    times.text(),
                    rate / bare[&(clients, together)]
                ),
            );
        }
        program.stop().await;
    }
}

/// What a server makes that reads the same calls and does nothing.
async fn bare(films: &Arc<Vec<Film>>) -> HashMap<(usize, usize), f64> {
    let bare = Served::start("grpc", &[]).await;
    let mut rates = HashMap::new();
    for (clients, together) in LOADS {
        measure(bare.address, films, clients, together, WARM_UP).await;
        let (rate, times) = measure(bare.address, films, clients, together, TIME).await;
        report::row(
            &format!("bare tonic, {clients} clients, {together} calls at a time each"),
            &format!("{rate:.0}/s, {}", times.text()),
        );
        rates.insert((clients, together), rate);
    }
    rates
}

/// Answers every film with "done", until it is killed.
pub(crate) fn serve_grpc() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let serving = runtime.block_on(async {
        let server = tonic::transport::Server::builder().add_service(Bare);
        server.serve(served::address()).await
    });
    serving.unwrap();
}

/// Reads a film and does nothing with it.
#[derive(Clone)]
struct Bare;

impl NamedService for Bare {
    const NAME: &'static str = "recommendations.Recommendations";
}

impl UnaryService<FilmUpdate> for Bare {
    type Response = FilmUpdateResponse;
    type Future = Ready<Result<Response<FilmUpdateResponse>, Status>>;

    fn call(&mut self, _: Request<FilmUpdate>) -> Self::Future {
        ready(Ok(Response::new(FilmUpdateResponse { success: true })))
    }
}

impl Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.unary(Bare, request).await)
        };
        Box::pin(answer)
    }
}

async fn measure(
    address: SocketAddr,
    films: &Arc<Vec<Film>>,
    clients: usize,
    together: usize,
    time: Duration,
) -> (f64, Spread) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..clients {
        let client = RecommendationsClient::connect(format!("http://{address}"))
            .await
            .unwrap();
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
