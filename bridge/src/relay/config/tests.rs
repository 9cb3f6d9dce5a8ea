//! What a relay's settings may be, and what is told of those that are wrong.

use std::{collections::BTreeMap, fs, path::Path};

use bus::NatsFiles;

use super::file::parse;
use super::*;
use crate::relay::relay_path::is_cluster_id;

const FILE: &str = r#"
[kafka.main]
brokers = "k1:9092,k2"
properties = { "client.rack" = "secret", "fetch.wait.max.ms" = 5 }

[nats.edge]
id = "edge-7"
url = "nats://n1,n2:4223"
token_file = "token"

[[routes]]
name = "films"
from = "nats.edge"
to = "kafka.main"
subject = "films.{id}.updated"
topic = "films-{id}"
key = "{id}"
stream = "FILMS"
dead_letters = "dead.films"
max_in_flight = 100
max_in_flight_bytes = "1MiB"

[[routes]]
name = "ratings"
from = "kafka.main"
to = "nats.edge"
subject = "ratings"
topic = "ratings"
"#;

/// Reads a file of a folder that has the tokens, and that errors know as `/etc/relay`.
fn read(text: &str) -> Result<RelayConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    for (file, token) in [("token", "0123"), ("nats.token", "0123"), ("empty", "\n")] {
        fs::write(folder.path().join(file), token).unwrap();
    }
    let place = folder.path().display().to_string();
    let error = |error: BadRelay| error.to_string().replace(&place, "/etc/relay");
    parse(text, folder.path()).map_err(error)
}

#[test]
fn a_file_holds_clusters_and_routes() {
    let RelayConfig { routes, .. } = read(FILE).unwrap();
    let [films, ratings] = routes.as_slice() else {
        panic!("{routes:?}")
    };
    assert_eq!(films.direction, Direction::NatsToKafka);
    assert_eq!(films.kafka.brokers.hosts(), ["k1:9092", "k2:9092"]);
    assert_eq!(films.kafka.properties["fetch.wait.max.ms"], "5");
    assert_eq!(films.nats.id, "edge-7");
    assert_eq!(films.nats.servers.urls().len(), 2);
    assert_eq!(films.mapping.subjects(), ["films.*.updated"]);
    assert_eq!(films.stream.as_deref(), Some("FILMS"));
    assert_eq!(films.dead_letters, "dead.films");
    let limits = RouteLimits {
        max_in_flight: 100,
        max_in_flight_bytes: 1 << 20,
    };
    assert_eq!(films.limits, limits);
    assert_eq!(ratings.direction, Direction::KafkaToNats);
    assert_eq!(ratings.dead_letters, "ratings.dlq");
    assert_eq!(ratings.limits, RouteLimits::default());
    assert!(!format!("{routes:?}").contains("secret"));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_name() {
    for (was, is, said) in [
        ("stream =", "streem =", "line 18: unknown field `streem`"),
        ("[nats.edge]", "[nets.edge]", "line 6: unknown field `nets`"),
        (
            "\"1MiB\"",
            "\"1MB\"",
            "line 21: `routes.max_in_flight_bytes`: a size is needed",
        ),
        (
            "stream = \"FILMS\"",
            "stream = t",
            "line 18: a text is needed in quotes",
        ),
        (
            "stream = \"FILMS\"",
            "stream = films",
            "line 18: a text is needed in quotes",
        ),
        (
            "max_in_flight = 100",
            "max_in_flight = \"secret\"",
            "line 20: i64 is needed",
        ),
        (
            "max_in_flight = 100",
            "max_in_flight = 0",
            "line 20: `routes.max_in_flight`: a number from 1 to 65536",
        ),
        (
            "client.rack",
            "client.reck",
            "line 4: `kafka.main.properties`: `client.reck` is no property of librdkafka",
        ),
        (
            "\"fetch.wait.max.ms\" = 5",
            "\"fetch.wait.max.ms\" = \"secret\"",
            "line 4: `kafka.main.properties`: `fetch.wait.max.ms` is no property of librdkafka",
        ),
        (
            "\"1MiB\"",
            "5",
            "line 21: `routes.max_in_flight_bytes`: a size from 64KiB",
        ),
        (
            "k1:9092,k2",
            "k1:x",
            "line 3: `kafka.main.brokers`: `k1:x` is no host",
        ),
        (
            "nats://n1,n2:4223",
            "kafka://n1",
            "line 8: `nats.edge.url`: it is no server of NATS",
        ),
        (
            "nats://n1,n2:4223",
            "nats://secret@n1",
            "line 9: `nats.edge.token_file`: the URL has credentials",
        ),
        (
            "token_file = \"token\"",
            "token_file = \"absent\"",
            "line 9: `nats.edge.token_file`: cannot read `/etc/relay/absent`",
        ),
        (
            "token_file = \"token\"",
            "token_file = \"empty\"",
            "line 9: `nats.edge.token_file`: `/etc/relay/empty` holds no token",
        ),
        (
            "\"fetch.wait.max.ms\" = 5",
            "\"ssl.ca.location\" = \"/there/is/no/ca.pem\"",
            "line 4: `kafka.main.properties`: `ssl.ca.location`: cannot read `/there/is/no/ca.pem`",
        ),
        (
            "token_file = \"token\"",
            "creds_file = \"user.creds\"",
            "line 9: `nats.edge.creds_file`: cannot read `/etc/relay/",
        ),
        (
            "token_file = \"token\"",
            "token_file = \"token\"\nnkey_file = \"nkey\"",
            "line 10: `nats.edge.nkey_file`: there is a token or a password already",
        ),
        (
            "brokers = \"k1:9092,k2\"",
            "brokers = \"k1:9092,k2\"\npassword_file = \"password\"",
            "line 4: `kafka.main.password_file`: cannot read `/etc/relay/password`",
        ),
        (
            "token_file = \"token\"",
            "key_file = \"key\"",
            "line 9: `nats.edge.key_file`: its certificate is needed",
        ),
        ("edge-7", "a,b", "line 7: `nats.edge.id`: 1 to 100"),
        (
            "\"fetch.wait.max.ms\" = 5",
            "acks = 1",
            "line 4: `kafka.main.properties`: `acks` is for the relay",
        ),
        (
            "films-{id}",
            "films-{x}",
            "line 16: `routes.topic`: `{x}` is not captured",
        ),
        (
            "films-{id}",
            "films-*",
            "line 16: `routes.topic`: `*` cannot stand in it",
        ),
        (
            "films.{id}.updated",
            "films.{id",
            "line 15: `routes.subject`: `{id` has no closing brace",
        ),
        (
            "key = \"{id}\"",
            "key = \"{x}\"",
            "line 17: `routes.key`: the subject has no `{x}`",
        ),
        (
            "\"FILMS\"",
            "\"a.b\"",
            "line 18: `routes.stream`: `a.b` is no name of a stream",
        ),
        (
            "dead.films",
            "dead.>",
            "line 19: `routes.dead_letters`: `dead.>` is no subject",
        ),
        (
            "from = \"nats.edge\"",
            "from = \"nats.x\"",
            "line 13: `routes.from`: `nats.x` is no cluster",
        ),
        (
            "from = \"nats.edge\"",
            "from = \"kafka.main\"",
            "line 14: `routes.to`: a route leads",
        ),
        (
            "name = \"ratings\"",
            "name = \"films\"",
            "line 24: `routes.name`: another route has this name",
        ),
        (
            "name = \"films\"",
            "name = \"a b\"",
            "line 12: `routes.name`: a name is",
        ),
        ("[kafka.main]\nbrokers", "[kafka.main\nbrokers", "line 2: "),
        (
            "topic = \"ratings\"\n",
            "",
            "line 23: missing field `topic`",
        ),
    ] {
        assert!(FILE.contains(was), "{was}");
        let refusal = read(&FILE.replacen(was, is, 1)).unwrap_err();
        assert!(refusal.starts_with(said), "{is}: {refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
        assert!(!refusal.contains('\n'), "{refusal}");
    }
    let own = FILE.to_owned() + "dead_letters = \"ratings\"\n";
    let refusal = read(&own).unwrap_err();
    assert!(
        refusal.contains("`ratings` is read by the route itself"),
        "{refusal}"
    );
    let twice = FILE.to_owned()
        + &FILE[FILE.rfind("[[routes]]").unwrap()..]
            .replace("\"ratings\"\nfrom", "\"again\"\nfrom");
    let refusal = read(&twice).unwrap_err();
    assert!(refusal.contains("carries the same messages"), "{refusal}");
    assert!(read("").unwrap_err().contains("1 to 256 routes"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let refusal = super::read(Path::new("/there/is/no/relay.toml")).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("cannot read `/there/is/no/relay.toml`")
    );
}

fn nats_cluster(url: &str) -> NatsCluster {
    NatsCluster::new("main", None, url, None, &NatsFiles::default()).unwrap()
}

#[test]
fn the_ids_of_clusters_differ_by_their_addresses() {
    let id = |brokers: &str| {
        KafkaCluster::new("main", None, brokers, BTreeMap::new())
            .unwrap()
            .id
    };
    assert_eq!(id("a:9092"), id("a"));
    assert_ne!(id("a"), id("b"));
    assert!(is_cluster_id(&id("a")));
    let nats = |url: &str| nats_cluster(url).id;
    assert_eq!(nats("nats://secret@a"), nats("nats://a:4222"));
    assert_eq!(nats("tls://a"), nats("nats://a"));
    assert_ne!(nats("nats://a:9092"), id("a:9092"));
}

#[test]
fn one_route_needs_no_file() {
    let one = OneRoute {
        from: Some("nats://secret@n1".into()),
        to: Some("kafka://k1".into()),
        subject: Some("films.{rest...}".into()),
        topic: Some("films-{rest...}".into()),
        ..OneRoute::default()
    };
    let RelayConfig { routes, .. } = one.relay().unwrap();
    assert_eq!(routes[0].direction, Direction::NatsToKafka);
    // The name tells it from other routes by flags.
    let dead_letters = &routes[0].dead_letters;
    assert!(dead_letters.starts_with("relay.route-"), "{dead_letters}");
    let other = OneRoute {
        topic: Some("others-{rest...}".into()),
        ..one.clone()
    };
    assert_ne!(&other.relay().unwrap().routes[0].dead_letters, dead_letters);
    assert!(!format!("{routes:?}").contains("secret"));
    for (change, said) in [
        (
            OneRoute {
                to: None,
                ..one.clone()
            },
            "`--to`: it is needed",
        ),
        (
            OneRoute {
                to: Some("nats://n2".into()),
                ..one.clone()
            },
            "`--to`: a route leads",
        ),
        (
            OneRoute {
                to: Some("kafka://".into()),
                ..one.clone()
            },
            "`--to`: ",
        ),
        (
            OneRoute {
                topic: Some("a b".into()),
                ..one.clone()
            },
            "`--topic`: ` ` cannot stand",
        ),
        (
            OneRoute {
                key: Some("x".into()),
                ..one.clone()
            },
            "`--key`: it is neither",
        ),
    ] {
        let refusal = change.relay().unwrap_err().to_string();
        assert!(refusal.starts_with(said), "{refusal}");
    }
}

#[test]
fn the_documented_topics_go_both_ways() {
    let kafka = KafkaCluster::new("main", None, "k1", BTreeMap::new()).unwrap();
    let nats = nats_cluster("nats://n1");
    let RelayConfig { routes, .. } = documented(&kafka, &nats).unwrap();
    assert_eq!(routes.len(), 2 * DOCUMENTED_TOPICS.len());
    for route in &routes {
        assert_eq!(route.mapping.subjects(), route.mapping.topics());
        assert!(route.dead_letters.ends_with(".dlq"), "{route:?}");
    }
    let names: std::collections::HashSet<_> = routes.iter().map(|r| &r.name).collect();
    assert_eq!(names.len(), routes.len());
}

/// The guide shows a file, and what is said of one that is wrong.
#[test]
fn the_file_in_the_guide_is_right() {
    let guide = include_str!("../../../../docs/BRIDGE.md");
    let (_, file) = guide.split_once("```toml\n").unwrap();
    let (file, _) = file.split_once("```").unwrap();
    assert_eq!(read(file).unwrap().routes.len(), 2);
    let refusal = read(&file.replace("orders-{region}", "orders")).unwrap_err();
    let said = format!("error: --config (RELAY_CONFIG): {refusal}\n");
    assert!(guide.contains(&said), "{said}");
}
