//! Several clients at once that write as fast as they are answered, and come back when they are cut off.

use std::{
    error::Error,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::recommendations::{
    CreateMovieRequest, CreatePreferenceRequest, DeleteMovieRequest, DeletePreferenceRequest,
    UpdateMovieRequest, catalog_client::CatalogClient,
    recommendations_client::RecommendationsClient,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::timeout};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    films::{CROWD_PULLER, Film, draw_keyword},
    ledger::{Ledger, Register, Ticket},
};
use crate::support::{GrpcAddresses, eventually};

/// The users; none of them is the one at the browser, so that the pages' marks are the films' flags.
const USERS: [i32; 4] = [2, 3, 4, 5];
const CLIENTS: usize = 12;
/// A killed program closes its connections, so a call that takes as long as this waits for a living one.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) type SharedLedger = Arc<Mutex<Ledger>>;

pub(super) fn open(ledger: &SharedLedger) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So few films that hardly anything is done but adding more.
fn few(films: usize) -> usize {
    films * 9 / 10
}

/// Has users `CROWD_BEGINS` and on follow what the crowd does; a few of them are entered in the ledger.
pub(super) async fn gather_crowd(addresses: &GrpcAddresses, ledger: &SharedLedger, crowd: usize) {
    const CROWD_BEGINS: usize = 1_000;
    let mut service = Line::new(&addresses.recommendations);
    let service = RecommendationsClient::new(service.channel().await.expect("it is ready"));
    let users: Vec<i32> = (CROWD_BEGINS..CROWD_BEGINS + crowd)
        .map(|user| i32::try_from(user).expect("a small number"))
        .collect();
    for together in users.chunks(100) {
        let mut calls = JoinSet::new();
        for &user_id in together {
            let mut service = service.clone();
            let request = CreatePreferenceRequest {
                user_id,
                keyword: CROWD_PULLER.to_owned(),
            };
            calls.spawn(async move {
                let call = service.create_preference(request);
                timeout(DEADLINE, call).await.expect("an answer")
            });
        }
        while let Some(ended) = calls.join_next().await {
            ended.expect("no panic").expect("no program is killed yet");
        }
        let witness = together.first().copied().expect("no chunk is empty");
        let mut ledger = open(ledger);
        let register = ledger.preference(witness, CROWD_PULLER);
        let ticket = register.begin(true);
        register.acknowledged(ticket);
    }
}

/// The clients at work.
pub(super) struct Load {
    clients: JoinSet<()>,
    over: Arc<AtomicBool>,
}

impl Load {
    /// Starts the clients, who keep the number of films about `films`.
    pub(super) fn start(
        addresses: &GrpcAddresses,
        ledger: &SharedLedger,
        films: usize,
        random: &mut StdRng,
    ) -> Self {
        let over = Arc::<AtomicBool>::default();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client {
                user: USERS[number % USERS.len()],
                films,
                random: StdRng::from_rng(random),
                ledger: Arc::clone(ledger),
                over: Arc::clone(&over),
                catalog: Line::new(&addresses.catalog),
                recommendations: Line::new(&addresses.recommendations),
            };
            clients.spawn(client.work());
        }
        Self { clients, over }
    }

    /// Has the clients add films until there are hardly fewer than there should be.
    pub(super) async fn fill(self, ledger: &SharedLedger, films: usize) {
        eventually("the first films to be added", async || {
            let count = open(ledger).count_there();
            let enough = count >= few(films);
            enough.then_some(()).ok_or(format!("{count} of {films}"))
        })
        .await;
        self.stop().await;
    }

    /// Ends a client's work with the call it is at.
    pub(super) async fn stop(mut self) {
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("no client has seen what must not be");
        }
    }
}

struct Client {
    user: i32,
    films: usize,
    random: StdRng,
    ledger: SharedLedger,
    over: Arc<AtomicBool>,
    catalog: Line,
    recommendations: Line,
}

/// A connection to a service, when there is one.
struct Line {
    endpoint: Endpoint,
    channel: Option<Channel>,
}

impl Line {
    fn new(address: &str) -> Self {
        let endpoint = Endpoint::from_shared(address.to_owned()).expect("an address");
        Self {
            endpoint: endpoint.connect_timeout(Duration::from_secs(5)),
            channel: None,
        }
    }

    /// The connection, made if need be: a call is only begun when a program is there to take it.
    async fn channel(&mut self) -> Option<Channel> {
        if self.channel.is_none() {
            self.channel = self.endpoint.connect().await.ok();
        }
        self.channel.clone()
    }

    /// What is known of a call after its answer, or after the end of the connection on which it was made.
    async fn outcome<T>(&mut self, call: impl Future<Output = Result<T, Status>>) -> Answer<T> {
        let mut call = pin!(call);
        let mut answer = timeout(DEADLINE, &mut call).await;
        if let (Err(_), Some(channel)) = (&answer, self.channel.clone()) {
            // hyper keeps a call for ever that is handed over in the moment in which its connection ends, until the
            // next one shows it that there is none (hyperium/hyper#4122). On a connection that lives it shows nothing.
            let mut health = HealthClient::new(channel);
            let next = health.check(HealthCheckRequest::default());
            drop(timeout(DEADLINE, next).await);
            answer = timeout(Duration::from_secs(1), call).await;
        }
        match answer.unwrap_or_else(|_| {
            panic!("a call was neither answered nor cut off within {DEADLINE:?}")
        }) {
            Ok(answer) => Answer::Acknowledged(answer),
            Err(status) if status.code() == Code::NotFound => Answer::NotFound,
            // The connection broke: who was to answer is dead.
            Err(status) if status.source().is_some() => {
                self.channel = None;
                Answer::CutOff
            }
            // It lives and does not know whether it is done.
            Err(status) if status.code() == Code::Unavailable => Answer::PutOff,
            Err(status) => panic!("a call that is right was refused: {status:?}"),
        }
    }
}

enum Answer<T> {
    Acknowledged(T),
    NotFound,
    CutOff,
    PutOff,
}

impl<T> Answer<T> {
    fn note<S>(&self, register: &mut Register<S>, ticket: Ticket) {
        match self {
            Self::Acknowledged(_) => register.acknowledged(ticket),
            Self::NotFound => register.refused(ticket),
            Self::CutOff => register.cut_off(ticket),
            Self::PutOff => register.put_off(ticket),
        }
    }
}

impl Client {
    async fn work(mut self) {
        while !self.over.load(Ordering::Relaxed) {
            let there = open(&self.ledger).count_there();
            let (add, delete) = if there > self.films {
                (10, 35)
            } else if there < few(self.films) {
                (90, 91)
            } else {
                (40, 45)
            };
            let done = match self.random.random_range(0..100) {
                n if n < add => self.add_film().await,
                n if n < delete => self.delete_film().await,
                0..65 => self.edit_film().await,
                65..85 => self.follow().await,
                _ => self.stop_following().await,
            };
            if done.is_none() {
                // No program there, or nothing to do.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn draw_film(&mut self, name: &str) -> Film {
        let number = open(&self.ledger).next_number();
        Film::draw(&mut self.random, name, number)
    }

    async fn add_film(&mut self) -> Option<()> {
        let mut catalog = CatalogClient::new(self.catalog.channel().await?);
        let name = open(&self.ledger).new_film();
        let film = self.draw_film(&name);
        let request = CreateMovieRequest {
            title: film.title.clone(),
            description: film.description.clone(),
            genre: film.genre.clone(),
            ..Default::default()
        };
        let ticket = open(&self.ledger).film(&name).states.begin(Some(film));
        let answer = self.catalog.outcome(catalog.create_movie(request)).await;
        let mut ledger = open(&self.ledger);
        let record = ledger.film(&name);
        answer.note(&mut record.states, ticket);
        if let Answer::Acknowledged(movie) = answer {
            record.id = Some(movie.into_inner().id);
        }
        Some(())
    }

    async fn edit_film(&mut self) -> Option<()> {
        let mut catalog = CatalogClient::new(self.catalog.channel().await?);
        let (name, id) = open(&self.ledger).some_film(&mut self.random)?;
        let film = self.draw_film(&name);
        let request = UpdateMovieRequest {
            id,
            title: film.title.clone(),
            description: film.description.clone(),
            genre: film.genre.clone(),
            ..Default::default()
        };
        let ticket = open(&self.ledger).film(&name).states.begin(Some(film));
        let answer = self.catalog.outcome(catalog.update_movie(request)).await;
        self.note_film(&name, ticket, &answer);
        Some(())
    }

    async fn delete_film(&mut self) -> Option<()> {
        let mut catalog = CatalogClient::new(self.catalog.channel().await?);
        let (name, id) = open(&self.ledger).some_film(&mut self.random)?;
        let ticket = open(&self.ledger).film(&name).states.begin(None);
        let answer = self
            .catalog
            .outcome(catalog.delete_movie(DeleteMovieRequest { id }))
            .await;
        self.note_film(&name, ticket, &answer);
        Some(())
    }

    fn note_film<T>(&self, name: &str, ticket: Ticket, answer: &Answer<T>) {
        let mut ledger = open(&self.ledger);
        let record = ledger.film(name);
        answer.note(&mut record.states, ticket);
        assert!(
            !matches!(answer, Answer::NotFound) || record.may_be_deleted(),
            "the film {name} was acknowledged and is not found: {}",
            record.states
        );
    }

    async fn follow(&mut self) -> Option<()> {
        let mut service = RecommendationsClient::new(self.recommendations.channel().await?);
        let keyword = draw_keyword(&mut self.random);
        let request = CreatePreferenceRequest {
            user_id: self.user,
            keyword: keyword.to_owned(),
        };
        let ticket = self.begin_preference(keyword, true);
        let call = service.create_preference(request);
        let answer = self.recommendations.outcome(call).await;
        answer.note(open(&self.ledger).preference(self.user, keyword), ticket);
        Some(())
    }

    async fn stop_following(&mut self) -> Option<()> {
        let mut service = RecommendationsClient::new(self.recommendations.channel().await?);
        let keyword = draw_keyword(&mut self.random);
        let request = DeletePreferenceRequest {
            user_id: self.user,
            keyword: keyword.to_owned(),
        };
        let ticket = self.begin_preference(keyword, false);
        let call = service.delete_preference(request);
        let answer = self.recommendations.outcome(call).await;
        answer.note(open(&self.ledger).preference(self.user, keyword), ticket);
        Some(())
    }

    fn begin_preference(&self, keyword: &'static str, state: bool) -> Ticket {
        open(&self.ledger)
            .preference(self.user, keyword)
            .begin(state)
    }
}
