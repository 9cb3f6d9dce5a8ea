//! What people who sign in cost: a page and an answer of the API with a session or a token against the same without, sign-ins one after
//! another and many at once, and both in a house of 100,000 people with 1,000,000 sessions.

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{films, folder, http::Visitor, program::Program, report};

const ROUNDS: usize = 15;
/// For how long pages are fetched in a round, over how many connections.
const TIME: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 8;
/// How many people sign in, and by how many clients at once.
const SIGN_INS: usize = 100;
const CLIENTS: usize = 2;
const FLOOD: usize = 64;
/// The large house.
const PEOPLE: usize = 100_000;
const SESSIONS: usize = 1_000_000;

const EMAIL: &str = "owner@films.example";
const PASSWORD: &str = "a crew of thieves";

/// People sign in, films are everybody's, and nobody is refused for asking too often; that is counted all the same.
const SETTINGS: [(&str, &str); 5] = [
    ("ACCOUNTS", "required"),
    ("PUBLIC_CATALOG", "true"),
    ("REGISTRATION", "open"),
    ("READS_PER_MINUTE", "1000000000"),
    ("SIGN_INS_PER_MINUTE", "0"),
];

pub(crate) async fn run() {
    let (name, films) = films::films();
    let folder = folder::with_films(name, films).await;
    let program = Program::start_with(folder.path(), &SETTINGS).await;
    let account = json!({ "email": EMAIL, "username": "owner", "password": PASSWORD });
    let registered = post(&program, "auth/register", &account).await;
    assert_eq!(registered.status(), 201);
    compare(&program, "a house of one").await;
    sign_in_often(&program, "a house of one").await;
    flood(&program).await;
    program.stop().await;

    fill(folder.path(), PEOPLE, SESSIONS);
    let program = Program::start_with(folder.path(), &SETTINGS).await;
    let house = format!("a house of {PEOPLE} with {SESSIONS} sessions");
    compare(&program, &house).await;
    sign_in_often(&program, &house).await;
    let memory = format!("{:.0} MB", program.resident_mb());
    report::row(&format!("{house}: memory of the program"), &memory);
    program.stop().await;
}

/// Posts JSON as a client whose address a proxy tells: each is another one, for tries are counted by address.
async fn post(program: &Program, path: &str, body: &Value) -> reqwest::Response {
    let client = Ipv4Addr::from_bits(rand::random());
    reqwest::Client::new()
        .post(format!("http://{}/api/v1/{path}", program.http))
        .header("x-forwarded-for", client.to_string())
        .json(body)
        .send()
        .await
        .unwrap()
}

async fn sign_in(program: &Program) -> String {
    let login = json!({ "email": EMAIL, "password": PASSWORD });
    let signed_in = post(program, "auth/login", &login).await;
    assert_eq!(signed_in.status(), 200);
    let tokens: Value = signed_in.json().await.unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}

/// The session of pages that signing in there begins, as a header.
async fn session(program: &Program) -> String {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let answer = client
        .build()
        .unwrap()
        .post(format!("http://{}/sign-in", program.http))
        .form(&[("login", EMAIL), ("password", PASSWORD)])
        .send()
        .await
        .unwrap();
    let cookies = answer.headers().get_all("set-cookie").iter();
    let mut cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    let session = cookies.find(|cookie| cookie.contains("marquee_session="));
    format!("cookie: {}\r\n", session.unwrap())
}

/// The same page with a session and without, in turn, and the same answer with a token and without.
async fn compare(program: &Program, house: &str) {
    let nobody = Visitor::returning(program.http).await;
    let person = nobody.with_header(&session(program).await);
    let token = format!("authorization: Bearer {}\r\n", sign_in(program).await);
    let client = nobody.with_header(&token);
    for (path, by, known) in [
        ("/", "a session", &person),
        ("/api/v1/movies", "a token", &client),
    ] {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        // The first round is not counted.
        for round in 0..=ROUNDS {
            let (first, second) = match round % 2 {
                0 => (
                    micros(program, &nobody, path).await,
                    micros(program, known, path).await,
                ),
                _ => {
                    let with = micros(program, known, path).await;
                    (micros(program, &nobody, path).await, with)
                }
            };
            if round > 0 {
                without.push(first);
                with.push(second);
            }
        }
        let figure = report::compared(&with, &without);
        report::row(
            &format!("{house}: `GET {path}` with {by} against without"),
            &figure,
        );
    }
}

/// The processor time of the program for one answer.
async fn micros(program: &Program, visitor: &Visitor, path: &'static str) -> f64 {
    let before = program.processor_time();
    let (rate, _, _) = visitor.load(path, CONNECTIONS, TIME).await;
    let answers = rate * TIME.as_secs_f64();
    (program.processor_time() - before).as_secs_f64() * 1e6 / answers
}

async fn sign_in_often(program: &Program, house: &str) {
    let (took, times) = sign_ins(program, CLIENTS, SIGN_INS).await;
    let rate = SIGN_INS as f64 / took.as_secs_f64();
    let figure = format!("{rate:.1} a second, {}", times.text());
    report::row(&format!("{house}: sign-ins by {CLIENTS} clients"), &figure);
}

async fn sign_ins(program: &Program, clients: usize, count: usize) -> (Duration, report::Spread) {
    let begun = Instant::now();
    let mut signing = JoinSet::new();
    let address = Arc::new(program.http);
    for _ in 0..clients {
        let address = address.clone();
        signing.spawn(async move {
            let (client, mut times) = (reqwest::Client::new(), Vec::new());
            for _ in 0..count / clients {
                let asked = Instant::now();
                let answer = client
                    .post(format!("http://{address}/api/v1/auth/login"))
                    .header(
                        "x-forwarded-for",
                        Ipv4Addr::from_bits(rand::random()).to_string(),
                    )
                    .json(&json!({ "email": EMAIL, "password": PASSWORD }))
                    .send()
                    .await
                    .unwrap();
                assert_eq!(answer.status(), 200);
                times.push(asked.elapsed());
            }
            times
        });
    }
    let mut times = Vec::new();
    while let Some(done) = signing.join_next().await {
        times.extend(done.unwrap());
    }
    (begun.elapsed(), report::Spread::new(times))
}

/// Pages while very many sign in at once, against pages without that.
async fn flood(program: &Program) {
    let visitor = Visitor::returning(program.http).await;
    let (calm, _, _) = visitor.load("/", CONNECTIONS, TIME * 3).await;
    let pages = visitor.load("/", CONNECTIONS, TIME * 3);
    let ((flooded, times, _), (_, sign_ins)) =
        tokio::join!(pages, sign_ins(program, FLOOD, FLOOD * 2));
    let ratio = flooded / calm;
    let figure = format!("{ratio:.2} times as many, {}", times.text());
    report::row(&format!("`GET /` while {FLOOD} sign in at once"), &figure);
    report::row(&format!("sign-ins of {FLOOD} at once"), &sign_ins.text());
}

/// Adds people beside the owner, of the same password, and sessions of theirs.
fn fill(folder: &Path, people: usize, sessions: usize) {
    let numbers = |most: usize| {
        format!(
            "WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < {most})"
        )
    };
    let statements = format!(
        "BEGIN;
         {} INSERT INTO users (id, username, username_key, email, email_key, is_email_confirmed, pending_email, password_hash, role,
             is_disabled, about, favourite_genres, shows_profile, shows_about, shows_activity, picture_version, second_factor_step,
             created_at, version)
           SELECT n, 'person' || n, 'person' || n, 'person' || n || '@films.example', 'person' || n || '@films.example',
             is_email_confirmed, '', password_hash, 1, is_disabled, '', favourite_genres, FALSE, FALSE, FALSE, 0, 0, created_at, 1
           FROM numbers JOIN users owner ON owner.id = 1;
         UPDATE sequences SET value = {people} WHERE name = 'users';
         {} INSERT INTO sessions (id, user_id, secret, is_of_pages, is_remembered, created_at, last_used_at, expires_at, address, agent)
           SELECT lower(hex(randomblob(16))), 2 + n % ({people} - 1), lower(hex(randomblob(32))), TRUE, TRUE, datetime('now'),
             datetime('now'), datetime('now', '+60 days'), '192.0.2.1', 'Mozilla/5.0' FROM numbers;
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE)",
        numbers(people),
        numbers(sessions),
    );
    let mut database = folder::open(folder, "accounts");
    database.batch_execute(&statements).unwrap();
}
