//! The wall of films, beside an actix-web server that only says hello.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use actix_web::{App, HttpServer, web};
use proto::recommendations::CreatePreferenceRequest;

use super::{
    films, folder, http::Visitor, keywords, ports::free_address, program::Program, report,
};

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(4);
/// actix-web starts a worker for each processor by default, here and there.
const ADDRESS: &str = "HELLO_ADDR";

pub(crate) async fn run() {
    let (name, films) = films::films();
    let count = films.len();
    // Who looks is somebody with recommendations, as most are.
    let followed = [300, 100, 30].map(|films_met| keywords::met_by(&films, films_met).0);
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

    let hello = Hello::start().await;
    let (base, times, _) = measure(&Visitor::returning(hello.address).await, "/").await;
    report::row(
        "bare actix-web, `hello`",
        &format!("{base:.0}/s, {}", times.text()),
    );
    let visitor = Visitor::returning(program.http).await;
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
    program.stop().await;
}

async fn measure(visitor: &Visitor, path: &'static str) -> (f64, report::Spread, usize) {
    visitor.load(path, CONNECTIONS, WARM_UP).await;
    visitor.load(path, CONNECTIONS, TIME).await
}

/// The baseline, in a process of its own as the program is.
struct Hello {
    child: Child,
    address: SocketAddr,
}

impl Hello {
    async fn start() -> Self {
        let address = free_address();
        let child = Command::new(std::env::current_exe().unwrap())
            .arg("hello")
            .env(ADDRESS, address.to_string())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self { child, address }
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says hello until it is killed.
pub(crate) fn serve_hello() {
    let address = std::env::var(ADDRESS).unwrap();
    let served = actix_web::rt::System::new().block_on(async {
        let hello = || App::new().route("/", web::get().to(|| async { "hello" }));
        HttpServer::new(hello).bind(address)?.run().await
    });
    served.unwrap();
}
