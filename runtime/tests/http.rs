//! The HTTP server: clients that send many requests and read nothing, and answers that no application
//! gave.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is shared by tests fails as they do"
)]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, Error, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::{Next, from_fn},
    web,
};
use futures::{StreamExt, stream};
use runtime::{
    RequestId,
    http::{self, HttpLimits},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: films\r\n\r\n";
const WORK: &[u8] = b"GET /work HTTP/1.1\r\nhost: films\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(20);
/// More than is ever under way between the server and a client.
const LARGE: usize = 16 << 20;
/// Small, so that little is under way between a client and the server.
const SOCKET_BUFFER: u32 = 4_096;

/// A server that counts the requests that its application is given.
struct Served {
    address: std::net::SocketAddr,
    given: Arc<AtomicUsize>,
    server: actix_web::dev::ServerHandle,
}

impl Served {
    fn start(write_deadline: Duration) -> Self {
        Self::with_places(64, write_deadline)
    }

    /// A server with so many connections.
    fn with_places(connections: usize, write_deadline: Duration) -> Self {
        Self::start_with(HttpLimits {
            workers: 1,
            connections,
            // Longer than any test waits.
            keep_alive: Duration::from_secs(80),
            write_deadline,
        })
    }

    fn start_with(limits: HttpLimits) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(SOCKET_BUFFER).unwrap();
        socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap().into_std().unwrap();
        let address = listener.local_addr().unwrap();
        let given = Arc::<AtomicUsize>::default();
        let counter = web::Data::from(given.clone());
        let application = move || {
            App::new()
                .app_data(counter.clone())
                .wrap(from_fn(http::edge))
                .route("/", web::to(answer))
                .route("/work", web::to(work))
                .route("/live", web::to(live))
                .route("/large", web::to(|| async { "x".repeat(LARGE) }))
                .service(web::resource("/refused").wrap(from_fn(refuse)).to(answer))
                .route("/film", web::to(|film: web::Bytes| async { film }))
        };
        let server = http::server(None, application, listener, limits).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            address,
            given,
            server: handle,
        }
    }

    /// A client that takes little before it reads.
    async fn client(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SOCKET_BUFFER).unwrap();
        socket.set_send_buffer_size(SOCKET_BUFFER).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    fn given(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }

    /// Waits until the number of requests has not changed for a while, and returns it.
    async fn settled(&self) -> usize {
        let mut before = usize::MAX;
        loop {
            // That no further request is taken shows by nothing but time.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = self.given();
            if now == before && now > 0 {
                return now;
            }
            before = now;
        }
    }

    async fn stop(self) {
        self.server.stop(false).await;
    }
}

/// An answer without a body: actix-http sends none of those early when many wait.
async fn answer(given: web::Data<AtomicUsize>) -> HttpResponse {
    let number = given.fetch_add(1, Ordering::Relaxed);
    HttpResponse::SeeOther()
        .insert_header(("location", format!("/{number}")))
        .finish()
}

/// Fails before there is a handler, as what contains a panic does.
async fn refuse(
    _: ServiceRequest,
    _: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    Err(Refused.into())
}

/// An error whose answer tells by which id the log knows the request.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refused;

impl ResponseError for Refused {
    fn error_response(&self) -> HttpResponse {
        let id = RequestId::current().map(|id| id.to_string());
        HttpResponse::ImATeapot().body(id.unwrap_or_default())
    }

    fn status_code(&self) -> StatusCode {
        StatusCode::IM_A_TEAPOT
    }
}

/// Never answers.
async fn work(given: web::Data<AtomicUsize>) -> HttpResponse {
    given.fetch_add(1, Ordering::Relaxed);
    std::future::pending().await
}

/// Begins to answer and goes on for ever.
async fn live() -> HttpResponse {
    let begin = stream::iter([Ok::<_, Infallible>(web::Bytes::from_static(b"live"))]);
    HttpResponse::Ok().streaming(begin.chain(stream::pending()))
}

/// Sends `bytes` for as long as the server takes them, and returns how many it took.
async fn send_all_that_is_taken(client: &mut TcpStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match timeout(Duration::from_millis(500), client.write(&bytes[sent..])).await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => break,
        }
    }
    sent
}

async fn read_all(client: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = timeout(PATIENCE, client.read_to_end(&mut text)).await;
    read.expect("the server closes the connection").unwrap();
    String::from_utf8(text).unwrap()
}

#[actix_web::test]
async fn a_client_that_reads_nothing_is_answered_few_of_its_requests() {
    let served = Served::start(PATIENCE);
    let mut client = served.client().await;
    let requests = GET.repeat(2_000);
    let sent = send_all_that_is_taken(&mut client, &requests).await;
    assert!(sent < requests.len() / 2, "the server took {sent} bytes");
    let given = served.settled().await;
    assert!(given < 200, "the application was given {given} requests");
    served.stop().await;
}

#[actix_web::test]
async fn few_requests_wait_for_one_that_is_worked_on() {
    let served = Served::start(PATIENCE);
    let mut client = served.client().await;
    let requests = WORK.repeat(5_000);
    let sent = send_all_that_is_taken(&mut client, &requests).await;
    // actix-http alone would take 128 KiB, 3,800 requests, and parse them all.
    assert!(sent < 64 << 10, "the server took {sent} bytes");
    assert_eq!(served.given(), 1);
    served.stop().await;
}

/// Reads until so many answers have begun in all.
async fn read_answers(
    reading: &mut (impl AsyncReadExt + Unpin),
    answers: &mut Vec<u8>,
    count: usize,
) {
    let begun = |bytes: &[u8]| bytes.windows(9).filter(|at| at == b"HTTP/1.1 ").count();
    let mut seen = begun(answers);
    while seen < count {
        // The beginning of an answer may be cut in two.
        let from = answers.len().saturating_sub(8);
        let read = timeout(PATIENCE, reading.read_buf(answers)).await;
        let read = read.expect("more answers").unwrap();
        assert!(read > 0, "closed after {seen} of {count} answers");
        seen += begun(&answers[from..]);
    }
}

#[actix_web::test]
async fn a_client_that_reads_gets_every_answer_in_order() {
    let served = Served::start(PATIENCE);
    let client = served.client().await;
    let (mut reading, mut writing) = client.into_split();
    let sending = actix_web::rt::spawn(async move {
        // In pieces that end anywhere.
        for piece in GET.repeat(1_800).chunks(997) {
            writing.write_all(piece).await.unwrap();
        }
        writing
    });
    let mut answers = Vec::new();
    read_answers(&mut reading, &mut answers, 1_800).await;
    let mut writing = sending.await.unwrap();

    // A body comes when nothing else is on its way: as clients do, and because actix-http closes a
    // connection on which it answers while the body of a later request is still coming.
    let film = b"POST /film HTTP/1.1\r\nhost: films\r\ncontent-length: 8\r\n\r\n\r\n\r\n\r\n\r\n";
    let chunked = b"POST /film HTTP/1.1\r\nhost: films\r\ntransfer-encoding: chunked\r\n\r\n\
        4\r\n\r\n\r\n\r\n0\r\n\r\n";
    let gets = GET.repeat(9);
    let mut count = 1_800;
    for _ in 0..40 {
        for (requests, further) in [(&film[..], 1), (&chunked[..], 1), (&gets[..], 9)] {
            for piece in requests.chunks(61) {
                writing.write_all(piece).await.unwrap();
            }
            count += further;
            read_answers(&mut reading, &mut answers, count).await;
        }
    }
    let last = b"GET / HTTP/1.1\r\nhost: films\r\nconnection: close\r\n\r\n";
    writing.write_all(last).await.unwrap();
    let read = timeout(PATIENCE, reading.read_to_end(&mut answers)).await;
    read.expect("the last answer ends the connection").unwrap();
    let answers = String::from_utf8(answers).unwrap();
    let numbers: Vec<usize> = answers
        .lines()
        .filter_map(|line| line.strip_prefix("location: /"))
        .map(|number| number.trim().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..2_161).collect::<Vec<_>>());
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 80);
    served.stop().await;
}

#[actix_web::test]
async fn a_client_that_reads_nothing_for_long_is_cut_off() {
    let served = Served::start(Duration::from_millis(50));
    let mut client = served.client().await;
    let cut = async {
        // An error tells that the server has closed the connection.
        while client.write_all(GET).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let cut = timeout(PATIENCE, cut).await;
    cut.expect("the server closes the connection");
    served.stop().await;
}

#[actix_web::test]
async fn an_error_that_no_handler_answered_carries_them_and_the_id_too() {
    let served = Served::start(PATIENCE);
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let request =
        b"GET /refused HTTP/1.1\r\nhost: films\r\nx-request-id: an-id\r\nconnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
    for header in ["x-request-id: an-id\r\n", "x-frame-options: DENY\r\n"] {
        assert_eq!(answer.matches(header).count(), 1, "{answer}");
    }
    // What makes the answer knows the id.
    assert!(answer.ends_with("\r\n\r\nan-id"), "{answer}");
    served.stop().await;
}

#[actix_web::test]
async fn a_connection_that_stays_idle_is_closed() {
    let served = Served::start_with(HttpLimits {
        workers: 1,
        connections: 64,
        keep_alive: Duration::from_secs(1),
        write_deadline: PATIENCE,
    });
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(GET).await.unwrap();
    let answer = read_all(&mut client).await;
    assert_eq!(answer.matches("HTTP/1.1 303 ").count(), 1, "{answer}");
    served.stop().await;
}

/// A handler that does not read the body waits for none.
#[actix_web::test]
async fn a_client_that_goes_on_with_no_body_after_its_answer_is_cut_off() {
    let served = Served::start(PATIENCE);
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: films\r\ncontent-length: 1000\r\n\r\nbegun";
    client.write_all(head).await.unwrap();
    let answer = read_all(&mut client).await;
    assert_eq!(answer.matches("HTTP/1.1 303 ").count(), 1, "{answer}");
    served.stop().await;
}

#[actix_web::test]
async fn the_parsers_own_answers_carry_the_headers_of_all_others() {
    let served = Served::start(PATIENCE);
    let long = format!(
        "GET / HTTP/1.1\r\nhost: films\r\nx: {}\r\n",
        "x".repeat(140_000)
    );
    for (request, status) in [
        ("nonsense\r\n\r\n", "HTTP/1.1 400 "),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "),
        (
            "POST / HTTP/1.1\r\nhost: films\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 400 ",
        ),
        (long.as_str(), "HTTP/1.1 431 "),
    ] {
        for earlier in [&b""[..], GET] {
            let mut client = TcpStream::connect(served.address).await.unwrap();
            client.write_all(earlier).await.unwrap();
            // A server that answers early may have closed before it has read all.
            let _ = client.write_all(request.as_bytes()).await;
            let mut answers = Vec::new();
            let mut piece = [0; 4_096];
            while let Ok(Ok(count @ 1..)) = timeout(PATIENCE, client.read(&mut piece)).await {
                answers.extend_from_slice(&piece[..count]);
            }
            let answers = String::from_utf8(answers).unwrap();
            let start = answers.rfind("HTTP/1.1 ").expect(request);
            let answer = &answers[start..];
            assert!(answer.starts_with(status), "{answers}");
            for header in [
                "content-security-policy: default-src 'none'; ",
                "x-content-type-options: nosniff\r\n",
                "x-frame-options: DENY\r\n",
                "x-request-id: ",
            ] {
                assert_eq!(answer.matches(header).count(), 1, "{answers}");
            }
            assert!(answer.ends_with("\r\n\r\n"), "{answers}");
        }
    }
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(b"GET / HT").await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("x-frame-options: DENY\r\n"), "{answer}");
    served.stop().await;
}

/// A client that has sent `request` and read its answer up to `end`.
async fn answered(served: &Served, request: &[u8], end: &str) -> TcpStream {
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let read = timeout(PATIENCE, client.read_buf(&mut answer)).await;
        let read = read.expect("an answer").unwrap();
        assert!(
            read > 0,
            "closed after {}",
            String::from_utf8_lossy(&answer)
        );
    }
    client
}

/// Whether the server has neither sent anything more to a client nor ended its connection.
fn is_open(client: &TcpStream) -> bool {
    let read = client.try_read(&mut [0; 1]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[actix_web::test]
async fn the_connection_that_has_been_idle_for_longest_gives_way_to_a_new_one() {
    let served = Served::with_places(3, PATIENCE);
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    let mut idle = answered(&served, GET, "\r\n\r\n").await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"GET / HT").await.unwrap();
    let third = answered(&served, GET, "\r\n\r\n").await;
    assert_eq!(read_all(&mut silent).await, "");
    let fourth = answered(&served, GET, "\r\n\r\n").await;
    assert_eq!(read_all(&mut idle).await, "");
    assert!(is_open(&third) && is_open(&fourth));
    let fifth = answered(&served, GET, "\r\n\r\n").await;
    // A head that does not come to its end is no request yet.
    assert_eq!(read_all(&mut slow).await, "");
    assert!([&third, &fourth, &fifth].into_iter().all(is_open));
    served.stop().await;
}

#[actix_web::test]
async fn a_connection_with_a_request_under_way_keeps_its_place() {
    let served = Served::with_places(3, PATIENCE);
    let mut working = TcpStream::connect(served.address).await.unwrap();
    working.write_all(WORK).await.unwrap();
    let live = b"GET /live HTTP/1.1\r\nhost: films\r\n\r\n";
    let live = answered(&served, live, "live\r\n").await;
    let mut idle = Vec::new();
    for _ in 0..5 {
        idle.push(answered(&served, GET, "\r\n\r\n").await);
    }
    assert!(is_open(&working) && is_open(&live));
    served.stop().await;
}

#[actix_web::test]
async fn a_new_connection_waits_until_one_has_its_whole_answer() {
    let served = Served::with_places(1, PATIENCE);
    let mut large = served.client().await;
    let request = b"GET /large HTTP/1.1\r\nhost: films\r\n\r\n";
    large.write_all(request).await.unwrap();
    let mut new = TcpStream::connect(served.address).await.unwrap();
    new.write_all(GET).await.unwrap();
    let waits = timeout(Duration::from_secs(1), new.readable()).await;
    assert!(waits.is_err(), "nothing was read of the answer");
    let answer = read_all(&mut large).await;
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), LARGE);
    read_answers(&mut new, &mut Vec::new(), 1).await;
    served.stop().await;
}
