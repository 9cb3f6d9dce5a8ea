//! The token of the embedded broker: in the URL, as a setting, or in the data folder.

use bridge::broker::{Access, Broker, BrokerConfig, BrokerStats};
use bus::{BusSettings, BusUrl, NatsSettings};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    buses::Bus,
    scene::{Recorder, Scene, wait_until},
};

const TOKEN: &str = "a token?/@of%16:bytes";

fn token() -> String {
    TOKEN.replace(' ', "-")
}

/// A broker that asks for the token, and its address as a URL.
async fn broker(data: &TempDir) -> String {
    let access = Access::Token(token().parse().unwrap());
    let config = BrokerConfig::new(data.path().join("broker"), access);
    let broker = Broker::open(config, BrokerStats::default()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(broker.serve(listener, std::future::pending()));
    url
}

async fn carries_an_event(url: BusUrl) {
    let bus = Bus::of(url);
    let scene = Scene::new(&bus);
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    let published = scene.producer().publish(scene.events(0, 1)).await;
    published.unwrap();
    recorder.wait_for_events(1).await;
    scene.stop().await;
}

#[actix::test]
async fn the_token_may_be_in_the_url_or_in_a_setting() {
    let data = tempfile::tempdir().unwrap();
    let url = broker(&data).await;
    let in_url = url.replace("nats://", "nats://a-token%3F%2F%40of%2516%3Abytes@");
    carries_an_event(in_url.parse().unwrap()).await;
    let settings = BusSettings {
        event_bus: Some(url.parse().unwrap()),
        nats: NatsSettings {
            nats_token: Some(token().parse().unwrap()),
            ..NatsSettings::default()
        },
        ..BusSettings::default()
    };
    carries_an_event(settings.url(data.path()).unwrap()).await;
}

#[actix::test]
async fn a_service_may_start_before_the_broker_has_kept_its_token() {
    let data = tempfile::tempdir().unwrap();
    let settings = BusSettings {
        event_bus: Some(broker(&data).await.parse().unwrap()),
        ..BusSettings::default()
    };
    let bus = Bus::of(settings.url(data.path()).unwrap());
    let scene = Scene::new(&bus);
    let producer = scene.producer();
    wait_until("the refusal to be reported", || scene.is_degraded()).await;
    let actors = scene.process.registry.actors();
    let told = format!("{actors:?}");
    assert!(
        told.contains("NATS refuses the token: set NATS_TOKEN"),
        "{told}"
    );

    std::fs::write(data.path().join("broker_token"), token()).unwrap();
    let published = producer.publish(vec![scene.event("k", "1")]).await;
    published.unwrap();
    scene.stop().await;
}
