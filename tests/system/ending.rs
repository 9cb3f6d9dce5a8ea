//! How a system begins and ends when it is asked to.

use std::time::Duration;

use crate::support::{Bus, Layout, Store, System, eventually};

#[tokio::test]
async fn it_stops_within_five_seconds_with_streams_and_connections_open() {
    for signal in ["TERM", "INT"] {
        let mut system = System::plain().await;
        let mut events = system.browser().stream("/recommendations/events").await;
        assert!(events.status().is_success(), "{events:?}");
        let _grpc = (system.recommendations().await, system.catalog().await);
        let program = system.program("marquee");
        program.signal(signal);
        let status = program.end_within(Duration::from_secs(5)).await;
        assert_eq!(status.code(), Some(0), "after SIG{signal}");
        let rest = async { while let Ok(Some(_)) = events.chunk().await {} };
        tokio::time::timeout(Duration::from_secs(5), rest)
            .await
            .expect("the stream ends with its server");
    }
}

/// Who sends it requests sees that it is not ready before it refuses any.
#[tokio::test]
async fn it_is_not_ready_before_it_closes_anything() {
    for layout in [Layout::One, Layout::Three] {
        if !layout.is_built() {
            continue;
        }
        let drain = [("DRAIN_SECONDS", "4")];
        let mut system = System::start_with(layout, &Store::Sqlite, &Bus::Embedded, &drain).await;
        for &name in layout.programs() {
            system.program(name).signal("TERM");
        }
        for &name in layout.programs() {
            let health = system.health(name);
            eventually("the program to say that it is not ready", async || {
                let page = health.try_open("/readyz").await?;
                let is_told = page.status == 503 && page.shows("is about to stop");
                is_told.then_some(()).ok_or(page.html)
            })
            .await;
        }
        assert_eq!(system.browser().open("/").await.status, 200);
        system.follow(1, "heist").await;
        for &name in layout.programs() {
            let status = system
                .program(name)
                .end_within(Duration::from_secs(9))
                .await;
            assert_eq!(status.code(), Some(0), "{name}");
        }
    }
}

#[tokio::test]
async fn it_says_where_to_go() {
    let mut system = System::plain().await;
    let address = format!("http://{}", system.http);
    let program = system.program("marquee");
    eventually("the address of the pages to be printed", async || {
        let printed = program.stdout() + &program.stderr();
        printed.contains(&address).then_some(()).ok_or(printed)
    })
    .await;
}
