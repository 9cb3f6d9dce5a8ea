//! Clients and registrations against a fake agent that leaves, forgets, refuses, hangs, and answers what makes no sense.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix::{Actor, Context, Handler, Message};
use clap::Parser;
use hyper::header::HeaderValue;
use proto::recommendations::{ListMoviesRequest, catalog_client::CatalogClient};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use testkit::{FakeCatalog, FakeConsul, LIMIT, Log, eventually};
use tokio::{io::copy_bidirectional, net::TcpStream, time::timeout};

use super::{ConsulAgent, ConsulLookup, ConsulService, ConsulSettings, Registration};
use crate::{
    ChildGuard, Handle, Place, Process, ServiceAddress, Supervisor,
    grpc::{Lookup, ServiceClient},
    process::{self, Shutdown},
    tls::ServerTls,
};

const TOKEN: &str = "a-token-of-consul";

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    consul: ConsulSettings,
}

/// A process that uses this agent.
fn process(consul: &FakeConsul) -> Process {
    let address = format!("--consul-http-addr=http://{}", consul.address());
    let token = format!("--consul-http-token={TOKEN}");
    let arguments = ["test", &address, &token, "--consul-register-host=127.0.0.1"];
    let mut process = Process::new();
    process.consul = Cli::parse_from(arguments).consul.read(1).unwrap();
    process
}

fn agent(consul: &FakeConsul) -> ConsulAgent {
    let mut token = HeaderValue::from_static(TOKEN);
    token.set_sensitive(true);
    ConsulAgent::new(consul.address().into(), None, Some(token))
}

fn films() -> ConsulService {
    ConsulService::parse("consul://films").unwrap().unwrap()
}

/// Has the log of this thread go to what is returned, until the guard is dropped.
fn log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || written.clone());
    (log, tracing::subscriber::set_default(subscriber.finish()))
}

/// Calls a few times, and returns how often each of the catalogs was called; each call has to succeed.
async fn calls(client: &ServiceClient, catalogs: [&FakeCatalog; 2]) -> [usize; 2] {
    let before = catalogs.map(FakeCatalog::lists);
    let mut catalog = CatalogClient::new(client.channel());
    for _ in 0..4 {
        let call = catalog.list_movies(ListMoviesRequest::default());
        client.call(LIMIT, call).await.unwrap();
    }
    let after = catalogs.map(FakeCatalog::lists);
    [after[0] - before[0], after[1] - before[1]]
}

#[tokio::test]
async fn calls_go_to_the_replicas_that_consul_has_and_go_on_without_it() {
    let (log, _guard) = log();
    let consul = FakeConsul::new();
    consul.require_token(TOKEN);
    let (one, other) = (FakeCatalog::start(None), FakeCatalog::start(None));
    let both = [&one, &other];
    consul.add("films-1", "films", one.address());
    consul.add_without_address("films-2", "films", other.address().port());
    let address = ServiceAddress::parse("consul://films", 1).unwrap();
    let client = ServiceClient::new(&process(&consul), "films", &address);
    let called = async |expected: [usize; 2]| {
        eventually("the replicas that Consul has are called", async || {
            calls(&client, both).await == expected
        })
        .await;
    };
    called([2, 2]).await;
    consul.set_status("films-1", "critical");
    called([0, 4]).await;
    consul.set_status("films-1", "passing");
    called([2, 2]).await;

    consul.leave();
    eventually("the log says that Consul is unavailable", async || {
        calls(&client, both).await;
        log.text().contains("Consul is unavailable")
    })
    .await;
    called([2, 2]).await;
    consul.serve();
    eventually("the log says that Consul is back", async || {
        calls(&client, both).await;
        log.text().contains("Consul is available again")
    })
    .await;
    consul.answer_with(Some((200, "{}".into())));
    eventually("the log says that the answers make no sense", async || {
        calls(&client, both).await;
        log.text().contains("that makes no sense")
    })
    .await;
    called([2, 2]).await;
    consul.answer_with(None);
    // As an agent does that has just been restarted: it knows none yet.
    consul.forget();
    let asked = consul.asked().len();
    eventually("Consul is asked again", async || {
        calls(&client, both).await;
        consul.asked().len() > asked + 2
    })
    .await;
    called([2, 2]).await;
    assert_eq!(log.text().matches("Consul is unavailable").count(), 1);
    let asked = consul.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.token.as_deref() == Some(TOKEN))
    );
    assert!(asked.iter().any(|asked| asked.query.contains("index=")));
    assert!(!log.text().contains(TOKEN), "{}", log.text());
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors() {
    let consul = FakeConsul::new();
    let agent = agent(&consul);
    consul.add("films-1", "films", "10.0.0.1:7".parse().unwrap());
    let found = agent.instances(&films()).await.unwrap();
    assert_eq!(found.places[0].to_string(), "10.0.0.1:7");
    assert!(found.index > 0);

    let many = format!("[{}]", vec!["0"; 1 << 20].join(","));
    let garbage = "that makes no sense";
    for (status, body, said) in [
        (200, "", garbage),
        (200, "{}", garbage),
        (200, "<html>", garbage),
        (200, r#"[{"Node": {}, "Service": {}}]"#, garbage),
        (
            200,
            r#"[{"Node": {"Address": "a"}, "Service": {"Port": 70000}}]"#,
            garbage,
        ),
        (
            200,
            r#"[{"Node": {"Address": "a"}, "Service": {"Port": "a-token-of-consul"}}]"#,
            garbage,
        ),
        (200, &many, "more than 1048576 bytes"),
        (
            500,
            "No cluster leader\nmore",
            "500 Internal Server Error: No cluster leader",
        ),
        (403, "no a-token-of-consul", "403 Forbidden: no …"),
    ] {
        consul.answer_with(Some((status, body.into())));
        let refused = agent.instances(&films()).await.map(drop).unwrap_err();
        let words = refused.in_full();
        assert!(words.contains(said), "{words}");
        assert!(!words.contains(TOKEN) && !format!("{refused:?}").contains(TOKEN));
    }
    // What is no place is left out.
    let odd = r#"[{"Node": {"Address": "a"}, "Service": {"Address": "u@h", "Port": 1}},
                  {"Node": {"Address": "a"}, "Service": {"Port": 0}},
                  {"Node": {"Address": "a"}, "Service": {"Port": 1}},
                  {"Node": {"Address": "a"}, "Service": {"Address": "::1", "Port": 1}}]"#;
    consul.answer_with(Some((200, odd.into())));
    let found = agent.instances(&films()).await.unwrap().places;
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["a:1", "[::1]:1"]);

    consul.hang(true);
    let late = agent.instances(&films()).await.map(drop).unwrap_err();
    assert!(late.in_full().contains("no answer within 2s"), "{late}");
}

/// What speaks TLS in front of an agent, at the address that is returned.
async fn tls_before(consul: &FakeConsul, tls: ServerTls) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, agent) = (listener.local_addr().unwrap(), consul.address());
    tokio::spawn(async move {
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut secured) = tls.acceptor().accept(stream).await else {
                continue;
            };
            let mut plain = TcpStream::connect(agent).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut secured, &mut plain).await });
        }
    });
    address
}

#[tokio::test]
async fn an_agent_may_speak_tls_with_a_certificate_of_its_authority() {
    let folder = TempDir::new().unwrap();
    let pair = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let [cert, private] =
            ["cert", "key"].map(|kind| folder.path().join(format!("{name}-{kind}")));
        fs::write(&cert, made.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&private, key.serialize_pem()).unwrap();
        (cert, private)
    };
    let ((cert, key), (other, _)) = (pair("ours"), pair("other"));
    let consul = FakeConsul::new();
    consul.add("films-1", "films", "10.0.0.1:7".parse().unwrap());
    let server = ServerTls::of_pages(cert.clone(), key).unwrap();
    let agent = format!("https://{}", tls_before(&consul, server).await);
    for (authority, found) in [(cert, true), (other, false)] {
        let authority = authority.to_str().unwrap();
        let arguments = [
            "test",
            "--consul-http-addr",
            &agent,
            "--consul-cacert",
            authority,
        ];
        let read = Cli::parse_from(arguments).consul.read(1).unwrap();
        let asked = read.agent().instances(&films()).await.map(|_| ());
        let words = asked.as_ref().map_err(|error| error.in_full());
        assert_eq!(asked.is_ok(), found, "{words:?}");
    }
}

/// An actor of a service whose readiness the test decides.
struct Part(ChildGuard);

#[derive(Message)]
#[rtype(result = "()")]
struct BeReady(bool);

crate::requested!(Part);

impl Actor for Part {
    type Context = Context<Self>;
}

impl Handler<BeReady> for Part {
    type Result = ();

    fn handle(&mut self, BeReady(is_ready): BeReady, _: &mut Context<Self>) {
        match is_ready {
            true => self.0.ready(),
            false => self.0.not_ready("the database is unavailable"),
        }
    }
}

/// The service `films` with one part.
struct Films {
    supervisor: Supervisor,
    part: Handle<Part>,
    registration: Registration,
    port: u16,
}

impl Films {
    fn start(process: &Process) -> Self {
        let supervisor = Supervisor::new("films", process);
        let part = supervisor.group("all").supervise("part", Place::Here, Part);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let registration = Registration::begin(&supervisor, process, "films", &listener);
        Self {
            registration: registration.unwrap(),
            supervisor,
            part,
            port,
        }
    }

    async fn be_ready(&self, is_ready: bool) {
        self.part.ask(BeReady(is_ready), LIMIT).await.unwrap();
    }
}

/// Waits until the one service that the agent knows has this state; returns its id.
async fn state(consul: &FakeConsul, status: &str, output: &str) -> String {
    let known = || match consul.services().as_slice() {
        [(id, known, said)] if known == status && said == output => Some(id.clone()),
        _ => None,
    };
    let what = format!("the service is {status}: {output}");
    eventually(&what, async || known().is_some()).await;
    known().unwrap()
}

#[actix_rt::test]
async fn a_service_is_registered_and_passes_while_it_is_ready() {
    let consul = FakeConsul::absent();
    let process = process(&consul);
    process.registry.expect("films");
    let films = Films::start(&process);
    // Consul may come later.
    consul.serve();
    consul.require_token(TOKEN);
    state(&consul, "critical", "has not started all its actors").await;
    process.registry.complete("films");
    let id = state(&consul, "passing", "ready").await;
    films.be_ready(false).await;
    state(&consul, "critical", "part: the database is unavailable").await;
    films.be_ready(true).await;
    state(&consul, "passing", "ready").await;

    let asked = consul.asked();
    let registered = asked
        .iter()
        .find(|asked| asked.what == "PUT /v1/agent/service/register")
        .unwrap();
    assert_eq!(registered.query, "replace-existing-checks=true");
    let expected = serde_json::json!({
        "ID": id, "Name": "films", "Address": "127.0.0.1", "Port": films.port,
        "Check": {
            "CheckID": format!("service:{id}"), "Name": "films is ready", "TTL": "15s",
            "DeregisterCriticalServiceAfter": "10m",
            "Status": "critical",
        },
    });
    assert_eq!(registered.body, expected);

    // A state that does not change is told again and again.
    let beats = |consul: &FakeConsul| {
        let asked = consul.asked();
        let updates = asked
            .iter()
            .filter(|asked| asked.what.contains("/check/update/"));
        updates.count()
    };
    let before = beats(&consul);
    eventually("the check is renewed", async || beats(&consul) > before + 1).await;

    consul.forget();
    assert_eq!(state(&consul, "passing", "ready").await, id);
    let actors = process.registry.actors();
    assert!(actors.iter().any(|actor| actor.name == "films-registrar"));

    films.registration.end().await;
    assert_eq!(consul.services(), []);
    let asked = consul.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.token.as_deref() == Some(TOKEN))
    );
    films.supervisor.stop(LIMIT).await;
}

#[actix_rt::test]
async fn a_service_is_not_registered_any_more_when_draining_begins() {
    let consul = FakeConsul::new();
    let process = process(&consul);
    let films = Films::start(&process);
    let id = state(&consul, "passing", "ready").await;
    let asked = Shutdown::default();
    // So long that the test does not see its end.
    let stop = process::drained(asked.clone(), &process.registry, LIMIT * 10);
    asked.begin();
    eventually("Consul has forgotten the service", async || {
        consul.services().is_empty()
    })
    .await;
    assert!(!stop.is_begun());
    let last = consul.asked().pop().unwrap();
    assert_eq!(last.what, format!("PUT /v1/agent/service/deregister/{id}"));
    // It stays so, and needs not be ended again.
    let asked = consul.asked().len();
    films.registration.end().await;
    assert_eq!(consul.asked().len(), asked);
    films.supervisor.stop(LIMIT).await;
}

#[actix_rt::test]
async fn nothing_waits_for_an_agent_that_does_not_answer() {
    let (log, _guard) = log();
    let consul = FakeConsul::new();
    let process = process(&consul);
    let films = Films::start(&process);
    let _id = state(&consul, "passing", "ready").await;
    consul.hang(true);
    let ended = timeout(Duration::from_secs(5), films.registration.end()).await;
    assert!(ended.is_ok());
    films.supervisor.stop(LIMIT).await;
    assert!(!log.text().contains(TOKEN));
}

#[actix_rt::test]
async fn a_renewal_that_is_not_answered_does_not_delay_the_end_of_the_registration() {
    let consul = FakeConsul::new();
    let process = process(&consul);
    let films = Films::start(&process);
    let _id = state(&consul, "passing", "ready").await;
    consul.hang(true);
    let asked = consul.asked().len();
    films.be_ready(false).await;
    eventually("the check is renewed", async || {
        consul.asked().len() > asked
    })
    .await;
    consul.hang(false);
    films.registration.end().await;
    assert_eq!(consul.services(), []);
    films.supervisor.stop(LIMIT).await;
}

#[tokio::test]
async fn a_change_is_waited_for_only_once_all_places_were_looked_up() {
    let consul = FakeConsul::new();
    let lookup = ConsulLookup::new(&agent(&consul), &films());
    consul.add("films-1", "films", "127.0.0.1:7".parse().unwrap());
    consul.add_at("films-2", "films", "no-such-host.invalid", 7);
    let found = lookup.look_up().await.unwrap();
    assert_eq!(found.unresolved, ["no-such-host.invalid:7"]);
    let is_waited_for = async || {
        lookup.changed(Duration::ZERO).await;
        consul.asked().pop().unwrap().query.contains("index=")
    };
    // Has a blocking query that there is in spite of it end at once.
    consul.set_status("films-2", "critical");
    assert!(!is_waited_for().await);

    let found = lookup.look_up().await.unwrap();
    assert_eq!(found.unresolved, [""; 0]);
    consul.set_status("films-2", "passing");
    assert!(is_waited_for().await);
}

#[actix_rt::test]
async fn a_refusal_is_told_and_makes_no_service_unready() {
    let (log, _guard) = log();
    let consul = FakeConsul::new();
    consul.require_token("another");
    let process = process(&consul);
    let films = Films::start(&process);
    eventually("the log says that Consul refuses", async || {
        log.text().contains("ACL not found: …")
    })
    .await;
    assert_eq!(process.registry.not_ready_reason("films"), None);
    consul.require_token(TOKEN);
    state(&consul, "passing", "ready").await;
    assert!(!log.text().contains(TOKEN), "{}", log.text());
    films.registration.end().await;
    films.supervisor.stop(LIMIT).await;
}

#[actix_rt::test]
async fn without_a_host_nothing_is_registered() {
    let process = Process::new();
    let films = Films::start(&process);
    let actors = process.registry.actors();
    assert!(actors.iter().all(|actor| actor.name == "part"));
    films.registration.end().await;
    films.supervisor.stop(LIMIT).await;
}
