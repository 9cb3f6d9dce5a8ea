//! Clients against several real servers, each on a thread of its own, which die, hang, refuse, come and go.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use proto::recommendations::{
    CreateMovieRequest, GetMovieRequest, Movie, catalog_client::CatalogClient,
};
use testkit::eventually;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
    time::timeout,
};
use tonic::{
    Code, Request, Response, Status, async_trait,
    body::Body,
    codegen::{BoxFuture, Service, http},
    metadata::MetadataValue,
    server::{Grpc, NamedService, UnaryService},
    transport::Server,
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_prost::ProstCodec;

use super::{ATTEMPT_TIMEOUT, Lookup, NOT_BEGUN_HEADER, Pace, ServiceChannel};
use crate::{
    metrics::Metrics,
    service_address::{Found, Located},
};

/// A catalog that answers each call with its own number as title.
#[derive(Clone, Default)]
struct Films {
    number: usize,
    calls: Arc<AtomicUsize>,
    refuses: Arc<AtomicBool>,
    /// Calls for the film `slow` are answered when this is told.
    slow: Arc<Notify>,
}

impl UnaryService<GetMovieRequest> for Films {
    type Response = Movie;
    type Future = BoxFuture<Response<Movie>, Status>;

    fn call(&mut self, request: Request<GetMovieRequest>) -> Self::Future {
        let films = self.clone();
        Box::pin(async move {
            if films.refuses.load(Ordering::Relaxed) {
                let mut refusal = Status::unavailable("stopping");
                let value = MetadataValue::from_static("1");
                refusal.metadata_mut().insert(NOT_BEGUN_HEADER, value);
                return Err(refusal);
            }
            films.calls.fetch_add(1, Ordering::Relaxed);
            if request.get_ref().id == "slow" {
                films.slow.notified().await;
            }
            Ok(Response::new(Movie {
                title: films.number.to_string(),
                ..Movie::default()
            }))
        })
    }
}

impl NamedService for Films {
    const NAME: &'static str = "recommendations.Catalog";
}

/// Whatever is called: the requests that are sent here are alike on the wire.
impl Service<http::Request<Body>> for Films {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let films = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Movie, GetMovieRequest>::default());
            Ok(grpc.unary(films, request).await)
        })
    }
}

/// A server on a thread of its own.
struct Replica {
    address: SocketAddr,
    films: Films,
    health: Option<HealthReporter>,
    runtime: Option<Runtime>,
}

impl Replica {
    fn start(number: usize) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), number, true)
    }

    fn at(address: SocketAddr, number: usize, has_health: bool) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let films = Films {
            number,
            ..Films::default()
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (reporter, health) = tonic_health::server::health_reporter();
        let router = Server::builder().add_service(films.clone());
        let router = router.add_optional_service(has_health.then_some(health));
        runtime.spawn(async move {
            let incoming = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(incoming);
            router.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            address,
            films,
            health: has_health.then_some(reporter),
            runtime: Some(runtime),
        }
    }

    fn calls(&self) -> usize {
        self.films.calls.load(Ordering::Relaxed)
    }

    /// Ends at once, with all connections. A call that is sent before the client sees the end may have been executed, so that is waited for.
    async fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        let ended = std::thread::spawn(move || runtime.shutdown_timeout(testkit::LIMIT));
        ended.join().unwrap();
        // Until the client's tasks, which are on this thread, have read that the connections are closed.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    /// Does nothing more, as a process that is stopped by a signal, until what is returned is dropped.
    fn hang(&self) -> mpsc::Sender<()> {
        let (go_on, wait) = mpsc::channel();
        let (hangs, is_hanging) = mpsc::channel();
        self.runtime.as_ref().unwrap().spawn(async move {
            hangs.send(()).unwrap();
            let _ = wait.recv();
        });
        is_hanging.recv().unwrap();
        go_on
    }

    async fn say(&self, status: ServingStatus) {
        let health = self.health.as_ref().unwrap();
        health.set_service_status("", status).await;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Replicas as a name server has them, each by a name of its own.
#[derive(Clone, Default)]
struct Names {
    known: Arc<Mutex<Vec<SocketAddr>>>,
    unresolved: Arc<Mutex<Vec<SocketAddr>>>,
    /// How often it was asked.
    asked: Arc<AtomicUsize>,
}

/// The name of a replica.
fn name(socket: SocketAddr) -> String {
    format!("films-{}:1", socket.port())
}

impl Names {
    fn of(replicas: &[&Replica]) -> Self {
        let names = Self::default();
        names.set(replicas);
        names
    }

    fn set(&self, replicas: &[&Replica]) {
        *self.known.lock().unwrap() = replicas.iter().map(|replica| replica.address).collect();
    }

    /// Cannot say, from now on, where these replicas are.
    fn fail(&self, replicas: &[&Replica]) {
        *self.unresolved.lock().unwrap() = replicas.iter().map(|replica| replica.address).collect();
    }

    /// Waits until it was asked after all changes so far, and its answer was used.
    async fn used(&self) {
        let before = self.asked.load(Ordering::Relaxed);
        eventually("the names are asked again", async || {
            self.asked.load(Ordering::Relaxed) > before + 2
        })
        .await;
    }

    fn channel(&self) -> ServiceChannel {
        let pace = Pace {
            interval: Duration::from_millis(100),
            pause: Duration::from_millis(10),
        };
        let figures = Metrics::default().grpc_made().clone();
        ServiceChannel::new(Arc::new(self.clone()), pace, None, figures)
    }

    fn client(&self) -> CatalogClient<ServiceChannel> {
        CatalogClient::new(self.channel())
    }
}

#[async_trait]
impl Lookup for Names {
    async fn look_up(&self) -> io::Result<Found> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let sockets = self.known.lock().unwrap().clone();
        let failing = self.unresolved.lock().unwrap().clone();
        let (unresolved, resolved): (Vec<_>, Vec<_>) = sockets
            .into_iter()
            .partition(|socket| failing.contains(socket));
        let located = |socket| Located {
            socket,
            authority: name(socket),
        };
        Ok(Found {
            replicas: resolved.into_iter().map(located).collect(),
            unresolved: unresolved.into_iter().map(name).collect(),
        })
    }

    async fn changed(&self, interval: Duration) {
        // Until the names are asked again.
        tokio::time::sleep(interval).await;
    }
}

type Client = CatalogClient<ServiceChannel>;

/// A call that must not be repeated. Returns the number of the replica that answered.
async fn create(client: &Client) -> Result<usize, Status> {
    let mut client = client.clone();
    let answer = client.create_movie(CreateMovieRequest::default()).await?;
    Ok(answer.into_inner().title.parse().unwrap())
}

/// A call that may be repeated.
async fn get(client: &Client, id: &str) -> Result<usize, Status> {
    let id = id.to_owned();
    let answer = client.clone().get_movie(GetMovieRequest { id }).await?;
    Ok(answer.into_inner().title.parse().unwrap())
}

/// Calls until each of the replicas has answered, and none of the others.
async fn until_answered_by(client: &Client, replicas: &[usize]) {
    eventually("those replicas answer", async || {
        let mut answered = vec![];
        for _ in 0..2 * replicas.len() {
            if let Ok(Ok(number)) = timeout(Duration::from_secs(5), create(client)).await {
                answered.push(number);
            }
        }
        answered.sort_unstable();
        answered.dedup();
        answered == replicas
    })
    .await;
}

async fn answers(client: &Client, calls: usize) -> HashMap<usize, usize> {
    let mut answers = HashMap::new();
    for _ in 0..calls {
        *answers.entry(create(client).await.unwrap()).or_default() += 1;
    }
    answers
}

#[tokio::test]
async fn calls_are_spread_evenly() {
    let replicas = [0, 1, 2].map(Replica::start);
    let client = Names::of(&replicas.each_ref()).client();
    until_answered_by(&client, &[0, 1, 2]).await;
    let answers = answers(&client, 300).await;
    assert_eq!(answers, HashMap::from([(0, 100), (1, 100), (2, 100)]));
}

#[tokio::test]
async fn a_replica_with_calls_under_way_is_called_less() {
    let replicas = [0, 1].map(Replica::start);
    let client = Names::of(&replicas.each_ref()).client();
    until_answered_by(&client, &[0, 1]).await;
    let slow = tokio::spawn({
        let client = client.clone();
        async move { get(&client, "slow").await }
    });
    let before: usize = replicas.iter().map(Replica::calls).sum();
    eventually("the slow call is worked on", async || {
        replicas.iter().map(Replica::calls).sum::<usize>() > before
    })
    .await;
    let answers = answers(&client, 20).await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    for replica in &replicas {
        replica.films.slow.notify_one();
    }
    let slow = slow.await.unwrap().unwrap();
    assert!(!answers.contains_key(&slow), "{answers:?}");
}

#[tokio::test]
async fn a_replica_that_dies_costs_no_call_that_did_not_reach_it() {
    let [first, second, third] = [0, 1, 2].map(Replica::start);
    let client = Names::of(&[&first, &second, &third]).client();
    until_answered_by(&client, &[0, 1, 2]).await;
    second.kill().await;
    let answered = answers(&client, 100).await;
    assert!(!answered.contains_key(&1), "{answered:?}");
    first.kill().await;
    assert_eq!(answers(&client, 10).await, HashMap::from([(2, 10)]));
}

#[tokio::test]
async fn a_call_that_may_have_been_executed_is_repeated_only_if_it_may_be() {
    let [first, second] = [0, 1].map(Replica::start);
    let names = Names::of(&[&first]);
    let client = names.client();
    get(&client, "any").await.unwrap();
    let begin = |is_repeatable: bool| {
        let mut client = client.clone();
        tokio::spawn(async move {
            let slow = "slow".to_owned();
            match is_repeatable {
                true => get(&client, &slow).await,
                false => {
                    let film = CreateMovieRequest {
                        title: slow,
                        ..CreateMovieRequest::default()
                    };
                    client.create_movie(film).await.map(|_| 0)
                }
            }
        })
    };
    let (once, again) = (begin(false), begin(true));
    eventually("both are worked on", async || first.calls() == 3).await;
    names.set(&[&second]);
    until_answered_by(&client, &[1]).await;
    let before = second.calls();
    first.kill().await;
    let failed = once.await.unwrap().unwrap_err();
    assert!(crate::grpc::is_unavailable(&failed), "{failed:?}");
    eventually("one of them is made again", async || {
        second.calls() == before + 1
    })
    .await;
    second.films.slow.notify_one();
    assert_eq!(again.await.unwrap().unwrap(), 1);
    assert_eq!(second.calls(), before + 1);
}

#[tokio::test]
async fn a_replica_that_comes_gets_its_share_and_one_that_goes_gets_none() {
    let [first, second, third] = [0, 1, 2].map(Replica::start);
    let names = Names::of(&[&first]);
    let client = names.client();
    until_answered_by(&client, &[0]).await;
    names.set(&[&first, &second, &third]);
    until_answered_by(&client, &[0, 1, 2]).await;
    let answered = answers(&client, 30).await;
    assert_eq!(answered, HashMap::from([(0, 10), (1, 10), (2, 10)]));
    names.set(&[&third]);
    until_answered_by(&client, &[2]).await;
    assert_eq!(answers(&client, 10).await, HashMap::from([(2, 10)]));
}

#[tokio::test]
async fn a_connected_replica_stays_while_its_name_cannot_be_looked_up() {
    let [first, second] = [0, 1].map(Replica::start);
    let names = Names::of(&[&first, &second]);
    let client = names.client();
    until_answered_by(&client, &[0, 1]).await;
    names.fail(&[&second]);
    names.used().await;
    assert_eq!(answers(&client, 10).await, HashMap::from([(0, 5), (1, 5)]));
    names.set(&[&first]);
    until_answered_by(&client, &[0]).await;
}

#[tokio::test]
async fn connected_replicas_come_before_those_that_were_never_reached() {
    let [first, second] = [0, 1].map(Replica::start);
    // Nothing listens on this port of any other address of this machine.
    let absent = |last| SocketAddr::from(([127, 0, 0, last], second.address.port()));
    // As many as are used of a service.
    let mut known: Vec<_> = (2..129).map(absent).collect();
    known.push(second.address);
    let names = Names::default();
    *names.known.lock().unwrap() = known.clone();
    let client = names.client();
    until_answered_by(&client, &[1]).await;
    known.insert(0, first.address);
    *names.known.lock().unwrap() = known;
    until_answered_by(&client, &[0, 1]).await;
}

#[tokio::test]
async fn a_replica_that_hangs_is_left_out_until_it_answers_again() {
    let [first, second] = [0, 1].map(Replica::start);
    let client = Names::of(&[&first, &second]).client();
    until_answered_by(&client, &[0, 1]).await;
    let go_on = first.hang();
    let mut late = 0;
    for _ in 0..20 {
        match timeout(Duration::from_millis(500), create(&client)).await {
            Ok(answer) => assert_eq!(answer.unwrap(), 1),
            Err(_) => late += 1,
        }
    }
    // Which one of the two is next in turn is open, and how fast a doubt is looked into.
    assert!((1..=2).contains(&late), "{late} calls waited in vain");
    drop(go_on);
    until_answered_by(&client, &[0, 1]).await;
}

#[tokio::test]
async fn a_call_that_changes_nothing_does_not_wait_for_a_replica_that_hangs() {
    let [first, second] = [0, 1].map(Replica::start);
    let client = Names::of(&[&first, &second]).client();
    until_answered_by(&client, &[0, 1]).await;
    let hanging = first.hang();
    for _ in 0..3 {
        // What another call asks meanwhile changes whose turn it is.
        let [one, other] = [get(&client, "any"), get(&client, "any")];
        let answers = timeout(2 * ATTEMPT_TIMEOUT, futures::future::join(one, other));
        let (one, other) = answers.await.unwrap();
        assert_eq!((one.unwrap(), other.unwrap()), (1, 1));
    }
    drop(hanging);
    until_answered_by(&client, &[0, 1]).await;
    // One that does not serve is no other.
    first.say(ServingStatus::NotServing).await;
    until_answered_by(&client, &[1]).await;
    let (asked, patient) = (first.calls(), client.clone());
    let patient = tokio::spawn(async move { get(&patient, "slow").await });
    // Longer than a call waits where there is another replica.
    tokio::time::sleep(ATTEMPT_TIMEOUT + Duration::from_millis(200)).await;
    second.films.slow.notify_one();
    assert_eq!(patient.await.unwrap().unwrap(), 1);
    assert_eq!(first.calls(), asked);
}

#[tokio::test]
async fn whether_any_replica_serves_is_told() {
    let [first, second] = [0, 1].map(Replica::start);
    let channel = Names::of(&[&first, &second]).channel();
    let mut serving = pin!(channel.serving());
    assert_eq!(
        serving.next().await,
        Some(false),
        "nothing is connected yet"
    );
    let client = CatalogClient::new(channel.clone());
    until_answered_by(&client, &[0, 1]).await;
    assert_eq!(serving.next().await, Some(true));
    first.say(ServingStatus::NotServing).await;
    until_answered_by(&client, &[1]).await;
    assert_eq!(serving.next().now_or_never(), None, "another one does");
    second.say(ServingStatus::NotServing).await;
    assert_eq!(serving.next().await, Some(false));
    first.say(ServingStatus::Serving).await;
    assert_eq!(serving.next().await, Some(true));
}

#[tokio::test]
async fn a_server_that_takes_connections_and_never_answers_gets_no_calls() {
    let hanging = Replica::start(0);
    let go_on = hanging.hang();
    let second = Replica::start(1);
    let client = Names::of(&[&hanging, &second]).client();
    assert_eq!(answers(&client, 20).await, HashMap::from([(1, 20)]));
    drop(go_on);
    until_answered_by(&client, &[0, 1]).await;
}

#[tokio::test]
async fn a_replica_that_does_not_serve_is_called_only_if_no_other_is_there() {
    let [first, second] = [0, 1].map(Replica::start);
    let names = Names::of(&[&first, &second]);
    let client = names.client();
    until_answered_by(&client, &[0, 1]).await;
    first.say(ServingStatus::NotServing).await;
    until_answered_by(&client, &[1]).await;
    assert_eq!(answers(&client, 10).await, HashMap::from([(1, 10)]));
    second.kill().await;
    assert_eq!(create(&client).await.unwrap(), 0);
    first.say(ServingStatus::Serving).await;
    assert_eq!(create(&client).await.unwrap(), 0);
}

#[tokio::test]
async fn a_call_that_a_server_refused_to_begin_is_made_elsewhere() {
    let [first, second] = [0, 1].map(Replica::start);
    let names = Names::of(&[&first, &second]);
    let client = names.client();
    until_answered_by(&client, &[0, 1]).await;
    first.films.refuses.store(true, Ordering::Relaxed);
    assert_eq!(answers(&client, 20).await, HashMap::from([(1, 20)]));
    second.kill().await;
    let refused = create(&client).await.unwrap_err();
    assert_eq!(refused.message(), "stopping");
}

#[tokio::test]
async fn a_service_without_a_replica_is_unavailable_until_there_is_one() {
    let names = Names::default();
    let client = names.client();
    let unknown = create(&client).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable);
    assert!(unknown.message().contains("no address"), "{unknown}");

    let replica = Replica::start(0);
    let address = replica.address;
    names.set(&[&replica]);
    eventually("the replica is found", async || {
        create(&client).await.is_ok()
    })
    .await;
    replica.kill().await;
    let gone = create(&client).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable);
    assert!(gone.message().contains("refused"), "{gone}");
    // The next call finds it at once, however long it was gone.
    for number in 1..4 {
        let replica = Replica::at(address, number, true);
        assert_eq!(create(&client).await.unwrap(), number);
        replica.kill().await;
        create(&client).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_server_without_health_is_called_and_found_again() {
    let old = Replica::at("127.0.0.1:0".parse().unwrap(), 0, false);
    let (address, client) = (old.address, Names::of(&[&old]).client());
    assert_eq!(create(&client).await.unwrap(), 0);
    old.kill().await;
    let _old = Replica::at(address, 1, false);
    assert_eq!(create(&client).await.unwrap(), 1);
}

#[tokio::test]
async fn nothing_is_left_of_a_client_that_is_gone() {
    let replica = Replica::start(0);
    let names = Names::of(&[&replica]);
    let channel = names.channel();
    let replicas = Arc::downgrade(&channel.replicas);
    create(&CatalogClient::new(channel)).await.unwrap();
    eventually("its tasks have ended", async || {
        replicas.upgrade().is_none()
    })
    .await;
}
