//! The list of films, as one user and as many, beside an actix-web server that sends as many bytes.

use std::{net::SocketAddr, time::Duration};

use ::web::Visitor as PageVisitor;
use actix_web::{App, HttpServer, web};
use futures::StreamExt;
use proto::{
    UserId,
    recommendations::{CreatePreferenceRequest, recommendations_client::RecommendationsClient},
};
use tonic::transport::Channel;

use super::{
    films, folder,
    http::{USER_HEADER, Visitor},
    keywords,
    program::Program,
    report,
    served::{self, Served, setting},
};

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(4);
const SIZE: &str = "LOAD_SERVED_BYTES";
const CATALOG: &str = "LOAD_CATALOG";
const RECOMMENDATIONS: &str = "LOAD_RECOMMENDATIONS";
/// As how many users the last row asks.
const USERS: usize = 10_000;

pub(crate) async fn run() {
    let (name, films) = films::films();
    let count = films.len();
    // The visitor is a user with recommendations, as most are.
    let followed = [300, 100, 30].map(|films_met| keywords::met_by(&films, films_met).0);
    let followed_by_all = keywords::met_by(&films, 10).0;
    let folder = folder::with_films(name, films).await;
    let program = Program::start(folder.path()).await;
    let mut recommendations = program.recommendations().await;
    for keyword in followed {
        let preference = CreatePreferenceRequest {
            user_id: 1,
            keyword,
        };
        recommendations.create_preference(preference).await.unwrap();
    }
    folder::until_delivered(folder.path()).await;

    let visitor = Visitor::returning(program.http).await;
    let (_, bytes) = visitor.connect().await.get(&visitor, "/").await;
    let mut base = 0.0;
    for size in [5, bytes] {
        let hello = Served::start("hello", &[(SIZE, size.to_string())]).await;
        let (rate, times, bytes) = measure(&Visitor::returning(hello.address).await, "/").await;
        report::row(
            &format!("bare actix-web, `hello`, {bytes} bytes"),
            &format!("{rate:.0}/s, {}", times.text()),
        );
        base = rate;
    }
    let mut first = None;
    for path in [
        "/",
        "/?genre=drama",
        "/?genre=noir",
        "/?page=1000",
        "/?genre=drama&page=100",
    ] {
        let (rate, times, bytes) = measure(&visitor, path).await;
        let of_first = rate / *first.get_or_insert(rate);
        report::row(
            &format!("`GET {path}`, {count} {name} films, {bytes} bytes"),
            &format!(
                "{rate:.0}/s, {}, {:.2} of hello, {of_first:.2} of `/`",
                times.text(),
                rate / base
            ),
        );
    }
    let (rate, times, bytes) = measure(&visitor.taking_gzip(), "/").await;
    report::row(
        &format!("`GET /` compressed, {bytes} bytes"),
        &format!("{rate:.0}/s, {}, {:.2} of hello", times.text(), rate / base),
    );
    // One page at a time: what a visitor waits for.
    for path in ["/", "/?page=1000"] {
        let (_, times, _) = visitor.load(path, 1, TIME).await;
        report::row(&format!("`GET {path}`, one at a time"), &times.text());
    }
    // As many users, on pages that the benchmark serves itself over the program's services.
    follow_as_all(&recommendations, followed_by_all).await;
    let web = Served::start(
        "web",
        &[
            (CATALOG, program.catalog_grpc.to_string()),
            (RECOMMENDATIONS, program.grpc.to_string()),
        ],
    )
    .await;
    let visitor = Visitor::returning(web.address).await;
    for users in [1, 100, USERS] {
        let (rate, times, bytes) = measure(&visitor.as_users(users), "/").await;
        report::row(
            &format!("`GET /` as {users} users, {bytes} bytes"),
            &format!("{rate:.0}/s, {}, {:.2} of hello", times.text(), rate / base),
        );
    }
    drop(web);
    program.stop().await;
}

/// Each of the users follows a keyword.
async fn follow_as_all(client: &RecommendationsClient<Channel>, keyword: String) {
    let calls = (2..=USERS).map(|user| {
        let (mut client, keyword) = (client.clone(), keyword.clone());
        async move {
            let preference = CreatePreferenceRequest {
                user_id: user as i32,
                keyword,
            };
            client.create_preference(preference).await.unwrap();
        }
    });
    futures::stream::iter(calls)
        .buffer_unordered(32)
        .collect::<()>()
        .await;
}

async fn measure(visitor: &Visitor, path: &'static str) -> (f64, report::Spread, usize) {
    visitor.load(path, CONNECTIONS, WARM_UP).await;
    visitor.load(path, CONNECTIONS, TIME).await
}

/// Sends as many bytes as it is told to, until it is killed.
pub(crate) fn serve_hello() {
    let (address, size): (SocketAddr, usize) = (served::address(), setting(SIZE));
    // actix-web starts a worker for each processor by default, here as in the program.
    let body = bytes::Bytes::from("hello".repeat(size.div_ceil(5))).slice(..size);
    let served = actix_web::rt::System::new().block_on(async {
        let hello = move || {
            let body = body.clone();
            App::new().route("/", web::get().to(move || std::future::ready(body.clone())))
        };
        HttpServer::new(hello).bind(address)?.run().await
    });
    served.unwrap();
}

/// Serves the pages over the services of another process, until it is killed. A header says who looks.
pub(crate) fn serve_web() {
    let http_addr = served::address();
    let address = |name| setting::<SocketAddr>(name).into();
    let config = ::web::Config {
        pages: ::web::PagesConfig {
            http_addr,
            accounts: None,
            public_catalog: false,
            allow_open_network: false,
            secret_key: Some("only a benchmark's key".parse().unwrap()),
            live_pages: 1,
            path_prefix: ::web::PathPrefix::default(),
            cors_origins: ::web::CorsOrigins::default(),
            http: runtime::http::HttpSettings::default(),
            client_rate: ::web::ClientRateSettings::default(),
            rate_limits: ::web::RateLimitSettings::default(),
            ops: runtime::settings::OpsSettings::default(),
        },
        data_dir: std::env::temp_dir(),
        catalog_host: address(CATALOG),
        recommendations_host: address(RECOMMENDATIONS),
        accounts_host: SocketAddr::from(([127, 0, 0, 1], 0)).into(),
    };
    let listeners = ::web::Listeners::bind(&config).unwrap();
    let visitor = |request: &actix_web::HttpRequest| {
        let user = request.headers().get(USER_HEADER);
        let user = user.and_then(|user| user.to_str().ok()?.parse().ok());
        PageVisitor::unlimited(UserId(user.unwrap_or(1)))
    };
    let process = runtime::Process::new();
    let serving = runtime::process::Service::start(::web::SERVICE, &process, move |process| {
        let visitors = ::web::VisitorSource::Open(visitor);
        ::web::run(config, listeners, visitors, process)
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stop = runtime::Shutdown::default();
    let services = vec![serving.unwrap()];
    runtime
        .block_on(runtime::process::run_until_stopped(services, stop))
        .unwrap();
}
