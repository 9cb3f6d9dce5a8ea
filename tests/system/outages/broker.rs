//! The broker is unavailable.

use super::{OUTAGE, endure, heist};
use crate::support::{
    Bus, Layout, Relay, Store, System, Visitors, buses, eventually, kafka_for_relay, marked,
};

#[tokio::test]
async fn nothing_is_lost_while_the_broker_is_unavailable() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    let browser = system.browser();
    // Another user than the one at the browser: what that one is shown comes over the bus.
    system.follow(2, "heist").await;

    system.program("bridge").kill().await;
    browser.add(heist("Rififi")).await;
    eventually("the film to be recommended, broker or not", async || {
        let films = system.recommended_to(2).await?;
        (films.len() == 1).then_some(()).ok_or(format!("{films:?}"))
    })
    .await;
    assert!(
        !browser.open("/").await.marks("Rififi"),
        "marked without a broker"
    );

    // What the recommendations service could not send yet survives its own death too.
    system.program("recommendations").kill().await;
    system.launch("recommendations");
    system.launch("bridge");
    system.all_ready().await;
    marked(&browser, "Rififi", true).await;
    system.stop().await;
}

/// What makes the broker seem gone.
enum Switch {
    Bridge,
    Relay(Relay),
}

impl Switch {
    async fn off(&mut self, system: &mut System) {
        match self {
            Self::Bridge => system.program("bridge").kill().await,
            Self::Relay(relay) => relay.cut().await,
        }
    }

    async fn on(&mut self, system: &mut System) {
        match self {
            Self::Bridge => system.launch("bridge"),
            Self::Relay(relay) => relay.repair().await,
        }
    }
}

/// All at once, for they mostly wait.
#[tokio::test]
async fn the_log_tells_once_that_the_broker_is_unavailable_and_once_that_it_is_back() {
    tokio::join!(
        bridge_is_unavailable(),
        nats_is_unavailable(),
        kafka_is_unavailable()
    );
}

async fn bridge_is_unavailable() {
    outage(Switch::Bridge, &Bus::Embedded).await;
}

async fn nats_is_unavailable() {
    for bus in buses() {
        if let Bus::Nats(url) = bus {
            let relay = Relay::to(url.trim_start_matches("nats://")).await;
            let bus = Bus::Nats(format!("nats://{}", relay.address));
            outage(Switch::Relay(relay), &bus).await;
        }
    }
}

async fn kafka_is_unavailable() {
    if let Some((server, address)) = kafka_for_relay() {
        let relay = Relay::at(&address, &server).await;
        outage(Switch::Relay(relay), &Bus::Kafka(address)).await;
    }
}

async fn outage(mut switch: Switch, bus: &Bus) {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, bus).await;
    let visitors = Visitors::arrive(&system).await;
    visitors.see(100).await;
    let parts: [(&str, &[&str]); 2] = [
        ("recommendations", &["account-consumer", "status-producer"]),
        ("catalog", &["status-consumer"]),
    ];
    let before = parts.map(|(name, _)| {
        let program = system.program(name);
        (program.mark(), program.resident_mib())
    });
    switch.off(&mut system).await;
    let (errors, taken) = (visitors.errors(), visitors.taken());
    // Longer than it is tried to publish an event.
    endure(&visitors, OUTAGE * 3).await;
    assert_eq!(visitors.errors(), errors, "pages do not need the broker");
    assert!(visitors.taken() > taken, "films are taken all the same");
    switch.on(&mut system).await;
    visitors.see(100).await;
    visitors.leave_all_well(&system).await;
    for ((name, actors), (mark, memory)) in parts.into_iter().zip(before) {
        let told = actors.iter().flat_map(|actor| {
            [
                format!("WARN the {actor} is held up"),
                format!("INFO the {actor} goes on after"),
            ]
        });
        let told: Vec<String> = told.collect();
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let program = system.program(name);
        program.assert_alarms_since(mark, &told);
        program.assert_memory_is_flat(memory);
    }
    system.stop().await;
}
