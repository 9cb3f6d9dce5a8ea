//! One trace goes with a film from the form to its flag, through all services, both outboxes and the broker.

use std::collections::{BTreeMap, BTreeSet};

use testkit::{CollectedSpan, FakeCollector};

use crate::support::{Bus, Film, Layout, Store, System, buses, eventually, marked, stores};

const TITLE: &str = "Zanzibar Overture";
/// What a user follows: personal, and in the description.
const KEYWORD: &str = "quixotic";

const FILM: Film = Film {
    title: TITLE,
    description: "A quixotic lamplighter conducts the harbour.",
    genre: "Drama",
    rating: "7.1",
    release_year: "1987",
};

const CREATE: &str = "recommendations.Catalog/CreateMovie";
const UPDATE: &str = "recommendations.Recommendations/ProcessFilmUpdate";
const SEND: &str = "send film_recommendation_status_updates";
const PROCESS: &str = "process film_recommendation_status_updates";

/// Kind and name of a span.
type Part = (&'static str, &'static str);

/// Each span that has to be there, and the one that it is a part of.
const PARTS: [(Part, Part); 12] = [
    (("Client", CREATE), ("Server", "POST /movie/new")),
    (("Server", CREATE), ("Client", CREATE)),
    (("Client", "transaction movies"), ("Server", CREATE)),
    (("Internal", "deliver film"), ("Server", CREATE)),
    (("Client", UPDATE), ("Internal", "deliver film")),
    (("Server", UPDATE), ("Client", UPDATE)),
    (("Internal", "match film"), ("Server", UPDATE)),
    (
        ("Client", "transaction recommendations"),
        ("Server", UPDATE),
    ),
    (("Producer", SEND), ("Server", UPDATE)),
    (("Consumer", PROCESS), ("Producer", SEND)),
    (("Internal", "set is_recommended"), ("Consumer", PROCESS)),
    (
        ("Client", "transaction movies"),
        ("Internal", "set is_recommended"),
    ),
];

#[tokio::test]
async fn one_trace_goes_from_the_form_to_the_flag() {
    for store in stores() {
        let spans = trace_of_a_film(Layout::One, &store, &Bus::Embedded).await;
        assert!(spans.iter().all(|span| span.service == "marquee"));
    }
}

#[tokio::test]
async fn one_trace_goes_through_all_services() {
    if !Layout::Three.is_built() {
        return;
    }
    for bus in buses() {
        let spans = trace_of_a_film(Layout::Three, stores().last().unwrap(), &bus).await;
        let of = |kind, name| {
            let mut found = spans.iter();
            let found = found.find(|span| (span.kind, span.name.as_str()) == (kind, name));
            found.unwrap().service.as_str()
        };
        assert_eq!(of("Server", CREATE), "catalog");
        assert_eq!(of("Client", UPDATE), "catalog");
        assert_eq!(of("Server", UPDATE), "recommendations");
        assert_eq!(of("Producer", SEND), "recommendations");
        assert_eq!(of("Consumer", PROCESS), "catalog");
    }
}

/// Adds a film that is recommended, and returns the spans of its trace.
async fn trace_of_a_film(layout: Layout, store: &Store, bus: &Bus) -> Vec<CollectedSpan> {
    eprintln!("{layout:?} over {store:?} and {bus:?}");
    let collector = FakeCollector::new();
    let mut system = System::start_with(layout, store, bus, &sending_to(&collector)).await;
    system.follow(77_123, KEYWORD).await;
    system.browser().add(FILM).await;
    let spans = eventually("the trace of a film", async || {
        let spans = collector.spans();
        let posts = |span: &&CollectedSpan| span.name == "POST /movie/new";
        let root = spans.iter().find(posts).ok_or("no form was posted")?;
        let spans: Vec<_> = of_trace(&spans, &root.trace);
        match missing(&spans).as_slice() {
            [] => Ok(spans),
            missing => Err(format!("{missing:?} are missing in {spans:#?}")),
        }
    })
    .await;
    system.stop().await;
    assert_eq!(
        said_of(&spans, "POST /movie/new"),
        [
            ("http.request.method", "POST"),
            ("http.response.status_code", "303"),
            ("http.route", "/movie/new"),
            ("url.scheme", "http"),
        ]
    );
    assert_eq!(
        said_of(&spans, CREATE),
        [
            ("rpc.grpc.status_code", "0"),
            ("rpc.method", "CreateMovie"),
            ("rpc.service", "recommendations.Catalog"),
            ("rpc.system", "grpc"),
        ]
    );
    let system_name = match store {
        Store::Sqlite => "sqlite",
        Store::Mysql(_) => "mysql",
    };
    // Another write may have shared the transaction.
    let mut transaction = said_of(&spans, "transaction movies");
    transaction.retain(|(key, _)| *key != "db.operation.batch.size");
    assert_eq!(
        transaction,
        [
            ("db.namespace", "movies"),
            ("db.operation.name", "transaction"),
            ("db.system.name", system_name),
        ]
    );
    let broker = match bus {
        Bus::Embedded | Bus::Nats(_) => "nats",
        Bus::Kafka(_) => "kafka",
    };
    assert_eq!(
        said_of(&spans, SEND),
        [
            (
                "messaging.destination.name",
                "film_recommendation_status_updates"
            ),
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
            ("messaging.system", broker),
        ]
    );
    nothing_personal_in(&collector.spans());
    one_process_of_one_host(&spans);
    spans
}

#[tokio::test]
async fn a_film_that_was_written_several_times_is_linked_to_each_of_the_requests() {
    let collector = FakeCollector::new();
    if !Layout::Three.is_built() {
        return;
    }
    let store = Store::Sqlite;
    let mut system = System::start_with(
        Layout::Three,
        &store,
        &Bus::Embedded,
        &sending_to(&collector),
    )
    .await;
    // Nothing is delivered before the film was edited.
    system.program("recommendations").stop().await;
    let browser = system.browser();
    let id = browser.add(FILM).await;
    let edited = Film {
        rating: "7.2",
        ..FILM
    };
    browser.edit(&id, edited).await;
    system.launch("recommendations");
    system.ready("recommendations").await;
    eventually("the delivery of both versions", async || {
        let spans = collector.spans();
        let root = |name: &str| {
            let root = spans.iter().find(|span| span.name == name);
            root.map(|root| root.trace.clone()).unwrap_or_default()
        };
        let (added, edited) = (root("POST /movie/new"), root("POST /movie/{id}/edit"));
        let delivery = spans
            .iter()
            .filter(|span| span.name == "deliver film" && !span.has_failed)
            .find(|span| span.trace == edited && span.links == [added.clone()]);
        delivery.map(drop).ok_or_else(|| format!("{spans:#?}"))
    })
    .await;
    system.stop().await;
}

#[tokio::test]
async fn a_share_of_none_sends_nothing() {
    let collector = FakeCollector::new();
    let mut settings = sending_to(&collector);
    settings.push(("OTEL_TRACES_SAMPLER_ARG", "0"));
    let mut system =
        System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &settings).await;
    let browser = system.browser();
    browser.follow(KEYWORD).await;
    browser.add(FILM).await;
    marked(&browser, TITLE, true).await;
    // What waits is sent at the latest now.
    system.stop().await;
    assert_eq!(collector.spans(), []);
}

/// A page takes no trace from whoever asks; a service takes it from the others.
#[tokio::test]
async fn visitors_do_not_decide_what_is_traced() {
    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let collector = FakeCollector::new();
    let mut settings = sending_to(&collector);
    settings.push(("OTEL_TRACES_SAMPLER", "parentbased_always_off"));
    let mut system =
        System::start_with(Layout::One, &Store::Sqlite, &Bus::Embedded, &settings).await;
    let asked = reqwest::Client::new()
        .get(format!("http://{}/", system.http))
        .header("traceparent", TRACEPARENT);
    let page = asked.send().await.unwrap();
    assert!(page.status().is_success());
    assert_eq!(page.headers().get("x-trace-id"), None);
    let mut request = tonic::Request::new(proto::recommendations::ListMoviesRequest::default());
    let traceparent = TRACEPARENT.parse().unwrap();
    request.metadata_mut().insert("traceparent", traceparent);
    let answer = system.catalog().await.list_movies(request).await.unwrap();
    let trace_id = answer.metadata().get("x-trace-id").unwrap();
    let trace_id = trace_id.to_str().unwrap().to_owned();
    assert_eq!(trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    system.stop().await;
    let spans = collector.spans();
    let is_of_call = |span: &CollectedSpan| span.trace == trace_id;
    assert!(spans.iter().all(is_of_call), "{spans:#?}");
    let call = spans.iter().find(|span| span.kind == "Server").unwrap();
    assert_eq!(call.parent, "00f067aa0ba902b7");
}

#[tokio::test]
async fn the_product_works_while_the_collector_is_unavailable() {
    let collector = FakeCollector::absent();
    let mut system = System::start_with(
        Layout::One,
        &Store::Sqlite,
        &Bus::Embedded,
        &sending_to(&collector),
    )
    .await;
    let browser = system.browser();
    browser.follow(KEYWORD).await;
    let id = browser.add(FILM).await;
    marked(&browser, TITLE, true).await;
    let told = "the collector of traces is unavailable";
    eventually("the log to tell of it", async || {
        let log = system.program("marquee").stderr();
        log.contains(told).then_some(()).ok_or(log)
    })
    .await;

    // It takes what was done in its absence, too.
    collector.serve();
    eventually("the whole trace of the film", async || {
        match missing(&collector.spans()).as_slice() {
            [] => Ok(()),
            missing => Err(format!("{missing:?} are missing")),
        }
    })
    .await;
    let metrics = system.health("marquee").try_open("/metrics").await.unwrap();
    for outcome in ["dropped", "failed"] {
        let none = format!("marquee_trace_spans_total{{outcome=\"{outcome}\"}} 0");
        let is_there = metrics.html.lines().any(|line| line == none);
        assert!(is_there, "{outcome}: {}", metrics.html);
    }
    let log = system.program("marquee").stderr();
    let back = "the collector of traces is available again";
    assert!(log.contains(back), "{log}");

    collector.leave();
    browser.delete(&id).await;
    // Within five seconds, although spans wait.
    system.stop().await;
    let log = system.program("marquee").stderr();
    assert_eq!(log.matches(told).count(), 1, "{log}");
}

fn sending_to(collector: &FakeCollector) -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            collector.endpoint().leak() as &str,
        ),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ]
}

fn of_trace(spans: &[CollectedSpan], trace: &str) -> Vec<CollectedSpan> {
    let of_trace = spans.iter().filter(|span| span.trace == trace);
    of_trace.cloned().collect()
}

/// Those of [`PARTS`] that are not there.
fn missing(spans: &[CollectedSpan]) -> Vec<(Part, Part)> {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let is_there = |part: &(Part, Part)| {
        spans.iter().any(|span| {
            let parent = by_id.get(span.parent.as_str());
            let parent = parent.map(|parent| (parent.kind, parent.name.as_str()));
            (span.kind, span.name.as_str()) == part.0 && parent == Some(part.1)
        })
    };
    let missing = PARTS.into_iter().filter(|part| !is_there(part));
    missing.collect()
}

/// What the span of this name says.
fn said_of<'s>(spans: &'s [CollectedSpan], name: &str) -> Vec<(&'s str, &'s str)> {
    let span = spans.iter().find(|span| span.name == name).unwrap();
    let said = span.attributes.iter();
    said.map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// The spans of each service say which of its replicas they are of, and on which host.
fn one_process_of_one_host(spans: &[CollectedSpan]) {
    let of = |key: &str| -> BTreeSet<_> {
        let of_all = spans.iter();
        of_all
            .map(|span| (span.service.clone(), span.resource.get(key).cloned()))
            .collect()
    };
    let services: BTreeSet<_> = spans.iter().map(|span| span.service.clone()).collect();
    let hosts: BTreeSet<_> = of("host.name").into_iter().map(|(_, host)| host).collect();
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    assert!(!hosts.contains(&None));
    let instances = of("service.instance.id");
    assert_eq!(instances.len(), services.len(), "{instances:?}");
    assert!(instances.iter().all(|(_, instance)| instance.is_some()));
}

/// Who follows what, and what films are about, is in no span.
fn nothing_personal_in(spans: &[CollectedSpan]) {
    for span in spans {
        let text = format!("{span:?}").to_lowercase();
        for personal in ["77123", KEYWORD, "zanzibar", "lamplighter"] {
            let random = [&span.trace, &span.id, &span.resource["service.instance.id"]];
            let words = random
                .iter()
                .fold(text.clone(), |text, id| text.replace(*id, ""));
            assert!(!words.contains(personal), "{personal}: {span:#?}");
        }
    }
}
