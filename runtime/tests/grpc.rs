//! The gRPC edges against sockets: limits, deadlines, drain, compression, and who acts.
//!
//! The service is a Catalog whose calls wait until a test lets them end.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what is shared by tests fails as they do"
)]

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, stream};
use proto::{
    Role, UserId,
    recommendations::{
        CreateMovieRequest, DeleteMovieRequest, DeleteMovieResponse, FILE_DESCRIPTOR_SET,
        FindMovieRequest, GetMovieRequest, GetPreferencesRequest, GetSummaryRequest,
        ImportMoviesRequest, ImportMoviesResponse, ListFilmChangesRequest, ListFilmChangesResponse,
        ListMoviesRequest, ListMoviesResponse, LoadSampleRequest, LoadSampleResponse, Movie,
        MoviesChanged, RestoreMovieRequest, Summary, UndoFilmChangeRequest, UndoFilmChangeResponse,
        UpdateMovieRequest, WatchMoviesRequest,
        catalog_client::CatalogClient,
        catalog_server::{Catalog, CatalogServer, SERVICE_NAME},
        recommendations_client::RecommendationsClient,
    },
};
use runtime::{
    Place, Process, RequestId, ServiceAddress, Supervisor,
    grpc::{
        self, Calls, GrpcLimits, GrpcServer, GrpcService, Person, ServiceClient, ServiceKey,
        acting_as, acting_user,
    },
};
use testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinHandle,
};
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codec::CompressionEncoding,
    codegen::{BoxStream, Service, http},
    service::Routes,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PATIENCE: Duration = Duration::from_secs(20);

/// `CreateMovie` tells what the call came with; `GetMovie` ends when a permit is there; `WatchMovies` goes on for ever.
#[derive(Clone)]
struct Films {
    permits: Arc<Semaphore>,
    begun: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Catalog for Films {
    async fn get_movie(&self, _: Request<GetMovieRequest>) -> Result<Response<Movie>, Status> {
        self.begun.add_permits(1);
        self.permits.acquire().await.unwrap().forget();
        Ok(Response::new(Movie::default()))
    }

    async fn create_movie(
        &self,
        request: Request<CreateMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        let UserId(user) = acting_user(&request, UserId::OWNER)?;
        Ok(Response::new(Movie {
            id: RequestId::current().unwrap().to_string(),
            description: request.into_inner().description,
            title: user.to_string(),
            ..Movie::default()
        }))
    }

    async fn update_movie(
        &self,
        _: Request<UpdateMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_movie(
        &self,
        _: Request<DeleteMovieRequest>,
    ) -> Result<Response<DeleteMovieResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_movies(
        &self,
        _: Request<ListMoviesRequest>,
    ) -> Result<Response<ListMoviesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn restore_movie(
        &self,
        _: Request<RestoreMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_summary(
        &self,
        _: Request<GetSummaryRequest>,
    ) -> Result<Response<Summary>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn load_sample(
        &self,
        _: Request<LoadSampleRequest>,
    ) -> Result<Response<LoadSampleResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_film_changes(
        &self,
        _: Request<ListFilmChangesRequest>,
    ) -> Result<Response<ListFilmChangesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn undo_film_change(
        &self,
        _: Request<UndoFilmChangeRequest>,
    ) -> Result<Response<UndoFilmChangeResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn find_movie(&self, _: Request<FindMovieRequest>) -> Result<Response<Movie>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn import_movies(
        &self,
        _: Request<ImportMoviesRequest>,
    ) -> Result<Response<ImportMoviesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type WatchMoviesStream = BoxStream<MoviesChanged>;

    async fn watch_movies(
        &self,
        _: Request<WatchMoviesRequest>,
    ) -> Result<Response<Self::WatchMoviesStream>, Status> {
        Ok(Response::new(Box::pin(stream::pending())))
    }
}

struct Served {
    address: SocketAddr,
    films: Films,
    calls: Calls,
    process: Process,
    supervisor: Supervisor,
}

impl Served {
    fn start(limits: GrpcLimits) -> Self {
        Self::with_key(limits, None)
    }

    fn with_key(limits: GrpcLimits, key: Option<&ServiceKey>) -> Self {
        let process = Process::new();
        let supervisor = Supervisor::new("test", &process);
        let calls = Calls::new(limits, process.shutdown.clone()).with_key(key);
        let films = Films {
            permits: Arc::new(Semaphore::new(0)),
            begun: Arc::new(Semaphore::new(0)),
        };
        let catalog = CatalogServer::new(films.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(grpc::MAX_REQUEST_BYTES);
        let service = GrpcService {
            routes: Routes::new(catalog),
            name: SERVICE_NAME,
            descriptors: FILE_DESCRIPTOR_SET,
            served_by: "test",
            calls: calls.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (listener, registry) = (Arc::new(listener), process.registry.clone());
        let group = supervisor.group("answering");
        group.supervise("grpc", Place::Here, move |guard| {
            GrpcServer::new(listener.clone(), service.clone(), registry.clone(), guard)
        });
        Self {
            address,
            films,
            calls,
            process,
            supervisor,
        }
    }

    async fn client(&self) -> CatalogClient<Channel> {
        CatalogClient::connect(format!("http://{}", self.address))
            .await
            .unwrap()
    }

    /// Begins a call, which ends when there is a permit, and waits until it is worked on.
    async fn begin(&self, client: &CatalogClient<Channel>) -> JoinHandle<Result<(), Status>> {
        let mut client = client.clone();
        let call = tokio::spawn(async move {
            let request = GetMovieRequest::default();
            client.get_movie(request).await.map(drop)
        });
        self.films.begun.acquire().await.unwrap().forget();
        call
    }

    async fn stop(self) {
        self.films.permits.add_permits(1_000);
        self.process.shutdown.begin();
        self.supervisor.stop(PATIENCE).await;
    }
}

/// A call that is answered at once, whatever its answer.
async fn quick(client: &CatalogClient<Channel>) -> Result<Movie, Status> {
    let request = CreateMovieRequest::default();
    client
        .clone()
        .create_movie(request)
        .await
        .map(Response::into_inner)
}

async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

#[actix::test]
async fn a_connection_without_a_preface_is_closed_and_one_with_it_is_kept() {
    let limits = GrpcLimits {
        preface_deadline: Duration::from_millis(50),
        ..GrpcLimits::default()
    };
    let served = Served::start(limits);
    let client = served.client().await;
    let call = served.begin(&client).await;
    for said in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        let mut silent = TcpStream::connect(served.address).await.unwrap();
        silent.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        let closed = silent.read_to_end(&mut answer);
        // The server may say why before it closes.
        let _ = within("the server to close", closed).await;
    }
    served.films.permits.add_permits(1);
    within("the call of the other connection", call)
        .await
        .unwrap()
        .unwrap();
    served.stop().await;
}

#[actix::test]
async fn no_more_connections_are_open_than_may_be() {
    let limits = GrpcLimits {
        connections: 1,
        preface_deadline: Duration::from_millis(50),
        ..GrpcLimits::default()
    };
    let served = Served::start(limits);
    let silent = TcpStream::connect(served.address).await.unwrap();
    // Waits in the backlog until the silent one has been closed.
    let client = within("a place", served.client()).await;
    quick(&client).await.unwrap();
    drop(silent);
    served.stop().await;
}

#[actix::test]
async fn a_connection_without_calls_gives_way_to_a_new_one_and_one_with_a_call_does_not() {
    let limits = GrpcLimits {
        connections: 3,
        ..GrpcLimits::default()
    };
    let served = Served::start(limits);
    let (working, mut watching) = (served.client().await, served.client().await);
    let call = served.begin(&working).await;
    let watch = watching.watch_movies(WatchMoviesRequest {}).await;
    let mut changes = watch.unwrap().into_inner();
    let mut idle = Vec::new();
    for _ in 0..4 {
        let client = within("a place", served.client()).await;
        within("an answer", quick(&client)).await.unwrap();
        idle.push(client);
    }
    // They connect again.
    for client in idle {
        within("an answer", quick(&client)).await.unwrap();
    }
    assert!(changes.message().now_or_never().is_none(), "it goes on");
    served.films.permits.add_permits(1);
    call.await.unwrap().unwrap();
    served.stop().await;
}

#[actix::test]
async fn calls_that_are_answered_are_counted_by_the_actor_and_those_of_health_are_not() {
    let served = Served::start(GrpcLimits::default());
    let client = served.client().await;
    quick(&client).await.unwrap();
    let mut failing = client.clone();
    let failed = failing.get_summary(GetSummaryRequest {}).await;
    assert_eq!(failed.unwrap_err().code(), Code::Unimplemented);
    let endpoint = Endpoint::from_shared(format!("http://{}", served.address));
    let mut health = HealthClient::new(endpoint.unwrap().connect_lazy());
    let checked = health.check(HealthCheckRequest::default()).await;
    checked.unwrap();
    let actors = served.process.registry.actors();
    assert_eq!(actors.iter().map(|actor| actor.handled).sum::<u64>(), 2);
    served.stop().await;
}

#[actix::test]
async fn calls_beyond_the_limit_are_refused_and_later_ones_are_not() {
    let limits = GrpcLimits {
        calls: 2,
        ..GrpcLimits::default()
    };
    let served = Served::start(limits);
    let client = served.client().await;
    let calls = [served.begin(&client).await, served.begin(&client).await];
    let refused = quick(&client).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    served.films.permits.add_permits(2);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    quick(&client).await.unwrap();
    served.stop().await;
}

#[actix::test]
async fn one_connection_does_not_use_up_all_calls() {
    let limits = GrpcLimits {
        calls: 2,
        calls_per_connection: 1,
        ..GrpcLimits::default()
    };
    let served = Served::start(limits);
    let (greedy, other) = (served.client().await, served.client().await);
    let call = served.begin(&greedy).await;
    let mut waiting = greedy.clone();
    let waiting = tokio::spawn(async move {
        waiting
            .get_movie(GetMovieRequest::default())
            .await
            .map(drop)
    });
    quick(&other).await.unwrap();
    served.films.permits.add_permits(2);
    call.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
    served.stop().await;
}

#[actix::test]
async fn a_call_that_takes_too_long_is_answered_in_time() {
    let limits = GrpcLimits {
        deadline: Duration::from_millis(20),
        ..GrpcLimits::default()
    };
    let served = Served::start(limits);
    let call = served.begin(&served.client().await).await;
    let late = within("the deadline", call).await.unwrap().unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    served.stop().await;
}

#[actix::test]
async fn a_stop_takes_no_more_calls_and_waits_for_those_under_way() {
    let served = Served::start(GrpcLimits::default());
    let client = served.client().await;
    let call = served.begin(&client).await;
    served.process.shutdown.begin_within(PATIENCE);
    let refused = quick(&client).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let calls = served.calls.clone();
    let mut drained = tokio::spawn(async move { calls.drain().await });
    let soon = tokio::time::timeout(Duration::from_millis(20), &mut drained).await;
    assert!(soon.is_err(), "a call is under way");
    served.films.permits.add_permits(1);
    within("the drain", drained).await.unwrap();
    call.await.unwrap().unwrap();
    served.stop().await;
}

#[actix::test]
async fn gzip_is_taken_within_the_limit_of_what_it_expands_to() {
    let served = Served::start(GrpcLimits::default());
    let mut client = served
        .client()
        .await
        .send_compressed(CompressionEncoding::Gzip);
    let request = |length| CreateMovieRequest {
        description: "x".repeat(length),
        ..CreateMovieRequest::default()
    };
    let answer = client.create_movie(request(1_000)).await.unwrap();
    assert_eq!(answer.into_inner().description.len(), 1_000);
    let bomb = client.create_movie(request(8 << 20)).await.unwrap_err();
    let is_too_large = matches!(bomb.code(), Code::OutOfRange | Code::ResourceExhausted);
    assert!(is_too_large, "{bomb:?}");
    served.stop().await;
}

/// Sends the calls of any method to this path.
#[derive(Clone)]
struct Misdirected(Channel, &'static str);

impl Service<http::Request<Body>> for Misdirected {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        *request.uri_mut() = http::Uri::from_static(self.1);
        Service::call(&mut self.0, request)
    }
}

#[actix::test]
async fn a_request_that_is_no_message_of_its_type_is_the_fault_of_the_caller() {
    let served = Served::start(GrpcLimits::default());
    let channel = Endpoint::new(format!("http://{}", served.address)).unwrap();
    let path = "/recommendations.Catalog/CreateMovie";
    let channel = Misdirected(channel.connect().await.unwrap(), path);
    // Its first field is a number, where the first of a new film is a text.
    let request = GetPreferencesRequest { user_id: 7 };
    let mut client = RecommendationsClient::new(channel);
    let status = client.get_preferences(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("decode"), "{status:?}");
    served.stop().await;
}

#[actix::test]
async fn a_call_is_made_on_behalf_of_one_user_and_its_request_is_told_by_its_id() {
    let served = Served::start(GrpcLimits::default());
    let mut client = served.client().await;
    let id = RequestId::parse("a-request").unwrap();
    let call = async {
        let request = acting_as(
            grpc::request(CreateMovieRequest::default()),
            Person::unlimited(UserId::OWNER),
        );
        client.create_movie(request).await.unwrap()
    };
    let answer = id.scope(call).await;
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "a-request");
    assert_eq!(answer.into_inner().id, "a-request");

    assert_eq!(quick(&client).await.unwrap().id.len(), 32, "an id is made");

    let other = acting_as(
        Request::new(CreateMovieRequest::default()),
        Person::unlimited(UserId(7)),
    );
    let refused = client.create_movie(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut malformed = Request::new(CreateMovieRequest::default());
    malformed
        .metadata_mut()
        .insert("marquee-user", "me".parse().unwrap());
    let refused = client.create_movie(malformed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    served.stop().await;
}

#[actix::test]
async fn services_that_share_a_key_take_calls_of_each_other_alone() {
    let key: ServiceKey = "a key of sixteen bytes".parse().unwrap();
    let served = Served::with_key(GrpcLimits::default(), Some(&key));
    let stranger = served.client().await;
    let refused = quick(&stranger).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let address = ServiceAddress::from(served.address);
    let code_of = async |key: Option<ServiceKey>, role: Option<Role>| {
        let mut process = Process::new();
        process.service_key = key;
        let service = ServiceClient::new(&process, "the service", &address);
        let mut client = CatalogClient::new(service.channel());
        let request = grpc::request(CreateMovieRequest::default());
        let request = match role {
            Some(role) => acting_as(
                request,
                Person {
                    role,
                    ..Person::unlimited(UserId::OWNER)
                },
            ),
            None => request,
        };
        client
            .create_movie(request)
            .await
            .map_or_else(|status| status.code(), |_| Code::Ok)
    };
    let other: ServiceKey = "another key of sixteen".parse().unwrap();
    assert_eq!(
        code_of(Some(key.clone()), Some(Role::Editor)).await,
        Code::Ok
    );
    assert_eq!(code_of(Some(key.clone()), None).await, Code::Ok);
    assert_eq!(
        code_of(Some(key), Some(Role::Member)).await,
        Code::PermissionDenied
    );
    assert_eq!(
        code_of(Some(other), Some(Role::Admin)).await,
        Code::Unauthenticated
    );
    assert_eq!(
        code_of(None, Some(Role::Admin)).await,
        Code::Unauthenticated
    );

    // Health answers everybody.
    let channel = Endpoint::new(format!("http://{}", served.address)).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    health.check(HealthCheckRequest::default()).await.unwrap();
    served.stop().await;
}

#[actix::test]
async fn calls_that_clients_make_up_are_counted_as_one() {
    let served = Served::start(GrpcLimits::default());
    let channel = Endpoint::new(format!("http://{}", served.address)).unwrap();
    let channel = channel.connect().await.unwrap();
    let ask = async |path| {
        let mut client = RecommendationsClient::new(Misdirected(channel.clone(), path));
        let mut malformed = Request::new(GetPreferencesRequest { user_id: 7 });
        let user = "me".parse().unwrap();
        malformed.metadata_mut().insert("marquee-user", user);
        client.get_preferences(malformed).await.unwrap_err().code()
    };
    // They are refused before it is known whether there are such calls.
    for path in ["/made.Up/A", "/made.Up/B", "/recommendations.Catalog/C"] {
        assert_eq!(ask(path).await, Code::InvalidArgument, "{path}");
    }
    let method = "recommendations.Catalog/ListMovies";
    let known = ask("/recommendations.Catalog/ListMovies").await;
    assert_eq!(known, Code::InvalidArgument);
    for line in [
        r#"marquee_grpc_calls_total{code="InvalidArgument",method="unknown"} 3"#.to_owned(),
        format!(r#"marquee_grpc_calls_total{{code="InvalidArgument",method="{method}"}} 1"#),
        r#"marquee_grpc_call_seconds_count{method="unknown"} 3"#.to_owned(),
    ] {
        eventually(&line, async || {
            let figures = served.process.registry.metrics().render();
            figures.lines().any(|shown| shown == line)
        })
        .await;
    }
    let figures = served.process.registry.metrics().render();
    assert!(!figures.to_lowercase().contains("made"), "{figures}");
    served.stop().await;
}

#[actix::test]
async fn a_client_gives_up_at_its_deadline_and_finds_a_service_that_came_back() {
    let served = Served::start(GrpcLimits::default());
    let address = ServiceAddress::from(served.address);
    let client = ServiceClient::new(&Process::new(), "films", &address).on_own_connections();
    let mut rpc = CatalogClient::new(client.channel());
    let call = rpc.get_movie(grpc::request(GetMovieRequest::default()));
    let late = client
        .call(Duration::from_millis(20), call)
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    served.films.permits.add_permits(2);
    let call = rpc.get_movie(grpc::request(GetMovieRequest::default()));
    client.call(PATIENCE, call).await.unwrap();
    served.stop().await;
    let call = rpc.get_movie(grpc::request(GetMovieRequest::default()));
    let gone = client.call(PATIENCE, call).await.unwrap_err();
    assert!(grpc::is_unavailable(&gone), "{gone}");
}
