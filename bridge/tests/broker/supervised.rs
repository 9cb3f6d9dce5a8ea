//! The broker as an actor under a supervisor.

use std::net::TcpListener;

use async_nats::jetstream::{self, stream};
use bridge::broker::actors::supervise;
use bridge::broker::{Access, BrokerConfig, BrokerStats};
use runtime::{Process, Supervisor};

use crate::server::{LONG, within};

/// Waits until the actors have reported the connection, its messages and their bytes.
async fn counted(process: &Process) {
    let accepted = async || {
        let actors = process.registry.actors();
        let mut listeners = actors.iter().filter(|actor| actor.name == "listener");
        listeners.any(|listener| listener.handled == 1)
    };
    testkit::eventually("the connection is counted", accepted).await;
    let is_counted = |name: &str| {
        let actors = process.registry.actors();
        let mut counts = actors.iter().flat_map(|actor| &actor.counters);
        counts.any(|(counted, count)| *counted == name && *count > 0)
    };
    let names = ["messages delivered", "bytes received", "bytes delivered"];
    let all = async || names.iter().all(|name| is_counted(name));
    testkit::eventually("all is counted", all).await;
}

#[actix::test]
async fn a_supervised_broker_serves_stops_and_serves_again() {
    let dir = tempfile::tempdir().unwrap();
    for expected in 1..=3 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let stats = BrokerStats::default();
        let process = Process::new();
        let supervisor = Supervisor::new("bridge", &process);
        supervise(
            &supervisor,
            listener,
            None,
            BrokerConfig::new(dir.path(), Access::Open),
            stats.clone(),
        );
        let context = jetstream::new(within(async_nats::connect(addr)).await.unwrap());
        let config = stream::Config {
            name: "S".into(),
            ..stream::Config::default()
        };
        context.get_or_create_stream(config).await.unwrap();
        let ack = context
            .publish("S", "x".into())
            .await
            .unwrap()
            .await
            .unwrap();
        assert_eq!(ack.sequence, expected);
        assert_eq!((stats.streams(), stats.connections()), (1, 1));
        counted(&process).await;
        supervisor.stop(LONG).await;
    }
}
